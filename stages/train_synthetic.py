"""The arm of a generator: as `train`, on real and synthetic clips."""

import sys

from ser.core import fold_jobs
from ser.core.stage import stage
from ser.training.arms import TrainSyntheticArm


def main(generator: str) -> None:
    fold_jobs.run(TrainSyntheticArm(generator))


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
