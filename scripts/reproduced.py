"""How far results move when the study is run again: `python -m scripts.reproduced NAME`.

For a clone in which stages were run again, on another machine or with another number of threads (docs/reliability.md).
Compares the predictions in metrics/predictions with those of the last commit and keeps the UA of every run in
metrics/reproduced/NAME.json.
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd
from scipy.stats import t
from sklearn.metrics import balanced_accuracy_score

from scripts import kept_metrics
from ser.core import params
from ser.core.errors import InputError
from ser.core.stage import stage
from ser.evaluation.predictions import read_predictions
from ser.reporting import tables

FOLDER = Path("metrics/predictions")


def main() -> None:
    """Compare every arm whose predictions changed, print the table and keep it."""
    parser = argparse.ArgumentParser("python -m scripts.reproduced", description=__doc__.split("\n")[0])
    parser.add_argument("name", help="of the setup, such as one_thread")
    name = parser.parse_args().name
    class_names = params.read("emotions", list[str])
    arms = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(FOLDER.glob("*.csv")):
            committed = Path(folder, path.name)
            with committed.open("wb") as file:
                subprocess.run(["git", "show", f"HEAD:{path}"], stdout=file, stderr=subprocess.DEVNULL, check=False)
            if committed.stat().st_size and committed.read_bytes() != path.read_bytes():
                both = committed, path
                arms[path.stem] = [ua_of_runs(read_predictions(table, class_names)) for table in both]
    if not arms:
        raise InputError(
            f"{FOLDER}: every table is that of the last commit; run stages again first, for instance with "
            "`dvc repro --force --single-item train@baseline`"
        )
    result = {"threads": os.environ.get("OMP_NUM_THREADS", "1"), "arms": arms}
    print(table(result))
    kept_metrics.write(kept_metrics.REPRODUCED / f"{name}.json", result)


def ua_of_runs(predictions: pd.DataFrame) -> list[float]:
    """Return the UA of every run, over all folds and repeats."""
    return [
        round(float(balanced_accuracy_score(run["emotion"], run["predicted"])), 6)
        for _, run in predictions.groupby("run")
    ]


def table(result: dict[str, Any]) -> str:
    """Return the UA of each arm, committed and again, and how far two sets of runs may lie apart.

    That is the 95 % interval of a difference between two means over runs, from the standard deviation between runs
    within the sets (Student's t); none where both sets have a single run.
    """
    rows = [["arm", "committed", "again", "difference", "runs move it by up to"]]
    for arm, (committed, again) in result["arms"].items():
        row = [arm, f"{100 * mean(committed):.1f}", f"{100 * mean(again):.1f}"]
        row.append(f"{100 * (mean(again) - mean(committed)):+z.1f}")
        row.append(f"{100 * spread(committed, again):.1f}" if len(committed) + len(again) > 2 else "")
        rows.append(row)
    return tables.markdown(rows)


def tables_of_all() -> str:
    """Return what was kept, under the names of the setups."""
    kept = {path.stem: kept_metrics.read(path) for path in sorted(kept_metrics.REPRODUCED.glob("*.json"))}
    return "\n\n".join(f"`{name}`\n\n{table(result)}" for name, result in kept.items()) or "Not measured yet."


def spread(first: list[float], second: list[float]) -> float:
    """Return half the width of the 95 % interval of the difference between the means of two sets of runs."""
    freedom = len(first) + len(second) - 2
    pooled = sum((ua - mean(runs)) ** 2 for runs in (first, second) for ua in runs) / freedom
    return float(t.ppf(0.975, freedom)) * (pooled * (1 / len(first) + 1 / len(second))) ** 0.5


if __name__ == "__main__":
    stage(main)
