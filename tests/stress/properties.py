"""Properties of the evaluation, on many more random cases than `make test` draws.

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
FILES = "tests/unit/test_splits.py", "tests/unit/test_metrics.py"
COUNT = re.compile(r"^(tests/\S+?)(?:\[.*\])?:$|(\d+) passing, \d+ failing", re.MULTILINE)


def main():
    parser = argparse.ArgumentParser("python -m tests.stress.properties", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--times", type=int, default=10, help="this many times the cases that the tests draw")
    arguments = parser.parse_args()
    completed = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "--timeout", "0", "--hypothesis-show-statistics", *FILES],
        cwd=ROOT,
        env=os.environ | {"SER_EXAMPLES": str(arguments.times)},
        stdout=subprocess.PIPE,
        text=True,
    )
    print(completed.stdout[-2000:])
    drawn, name = {}, None
    for match in COUNT.finditer(completed.stdout):
        if match[1]:
            name = match[1]
        else:
            drawn[name] = drawn.get(name, 0) + int(match[2])
    rng = np.random.default_rng(0)
    several, one = simulations.simulate(STUDIES, rng), simulations.simulate(STUDIES, rng, runs=1, run_sd=0.0)
    result = {
        "times": arguments.times,
        "passed": not completed.returncode,
        "drawn": drawn,
        "studies": STUDIES,
        "coverage": several["coverage"],
        "false alarms": several["found"],
        "one run": {"coverage": one["coverage"], "false alarms": one["found"]},
    }
    measured.write(arguments.out, result)
    return completed.returncode


if __name__ == "__main__":
    raise SystemExit(main())
