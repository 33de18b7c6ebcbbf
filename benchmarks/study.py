"""The whole study: `dvc repro` in the workspace, and the wall time of every stage that it ran.

It is not part of `make bench`, which would then take as long as the study. `python -m benchmarks.study` runs the stages
that are not up to date, and keeps the recorded times of the others.
"""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks import bench

RESULT = Path("benchmarks/results/study.json")


def main() -> dict[str, Any]:
    """Run what is not up to date; return the result, with the recorded times of the stages that were not run."""
    seconds = json.loads(RESULT.read_text())["seconds"] if RESULT.exists() else {}
    process = subprocess.Popen(["dvc", "repro"], stdout=subprocess.PIPE, text=True)
    stage, start = None, time.perf_counter()
    for line in process.stdout:
        print(line, end="", flush=True)
        if begun := re.match(r"Running stage '(.+)':|Stage '(.+)' (?:is|didn't)|Use `dvc push`", line):
            if stage:
                seconds[stage] = round(time.perf_counter() - start, 1)
            stage, start = begun[1], time.perf_counter()
    if process.wait():
        raise SystemExit("dvc repro failed; run this again to go on, finished folds are kept")
    return {
        "what": "the whole study: wall time by stage",
        "versions": bench.versions("torch", "dvc"),
        "seconds": seconds,
        "minutes": round(sum(seconds.values()) / 60, 1),
    }


if __name__ == "__main__":
    bench.save(RESULT, main() | {"machine": bench.machine()})
