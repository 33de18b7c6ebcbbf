"""What the evaluation promises, on many more random cases than `make test` draws.

`python -m tests.stress.properties --out FILE [--times N]`
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks import measured
from tests.helpers import simulations
from tests.helpers.project import ROOT

STUDIES = 5000
FILES = "tests/test_splits.py", "tests/test_scores.py"
COUNT = re.compile(r"^(tests/\S+?)(?:\[.*\])?:$|(\d+) passing, \d+ failing", re.MULTILINE)


def main():
    parser = argparse.ArgumentParser("python -m tests.stress.properties", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--times", type=int, default=10, help="as many cases as the tests draw")
    chosen = parser.parse_args()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "--timeout", "0", "--hypothesis-show-statistics", *FILES],
        cwd=ROOT,
        env=os.environ | {"SER_EXAMPLES": str(chosen.times)},
        stdout=subprocess.PIPE,
        text=True,
    )
    print(done.stdout[-2000:])
    drawn, name = {}, None
    for found in COUNT.finditer(done.stdout):
        if found[1]:
            name = found[1]
        else:
            drawn[name] = drawn.get(name, 0) + int(found[2])
    rng = np.random.default_rng(0)
    result = {
        "times": chosen.times,
        "passed": not done.returncode,
        "drawn": drawn,
        "studies": STUDIES,
        "coverage": simulations.coverage(STUDIES, rng),
        "false alarms": float((simulations.p_values(STUDIES, rng) <= 0.05).mean()),
    }
    measured.write(chosen.out, result)
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
