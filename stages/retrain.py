"""The arm of a generator: as `train`, on real and synthetic clips."""

import sys

from ser.core.stage import stage
from stages import train


def main(*generators):
    for generator in generators:
        train.run(generator, f"data/synthetic/{generator}")


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
