"""The study run again elsewhere: what is compared and how far runs may lie apart."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from scripts import kept_metrics, reproduced
from ser.core.errors import InputError

EMOTIONS = ["anger", "sadness"]


def write(arm, hits, runs=2):
    """Predictions of ten clips of each emotion by `runs` runs, of which run r recognises `hits` + r of the anger."""
    clips = pd.DataFrame({"clip": [f"c{number}" for number in range(20)], "emotion": np.repeat(EMOTIONS, 10)})
    tables = []
    for run in range(runs):
        anger = np.where(np.arange(20) < hits + run, 0.9, 0.1)
        table = clips.assign(repeat=0, fold=0, run=run, anger=anger, sadness=1 - anger)
        tables.append(table.assign(predicted=np.where(anger > 0.5, *EMOTIONS)))
    columns = ["repeat", "fold", "run", "clip", "emotion", "predicted", *EMOTIONS]
    pd.concat(tables)[columns].to_csv(f"metrics/predictions/{arm}.csv", index=False)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("metrics/predictions").mkdir(parents=True)
    Path("params.yaml").write_text(yaml.safe_dump({"emotions": EMOTIONS}))
    for arm in ("baseline", "augmented"):
        write(arm, 5)
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], check=True)


@pytest.mark.usefixtures("repository")
def test_arms_that_changed_are_compared_run_by_run(monkeypatch, capsys):
    write("baseline", 7)
    monkeypatch.setattr(sys, "argv", ["reproduced", "one_thread"])
    reproduced.main()
    kept = json.loads((kept_metrics.REPRODUCED / "one_thread.json").read_text())
    assert kept["arms"] == {"baseline": [[0.75, 0.8], [0.85, 0.9]]}
    assert "| baseline | 77.5      | 87.5  | +10.0      | 15.2" in capsys.readouterr().out


@pytest.mark.usefixtures("repository")
def test_results_as_committed_are_refused(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["reproduced", "one_thread"])
    with pytest.raises(InputError, match="every table is that of the last commit; run stages again first"):
        reproduced.main()


@pytest.mark.parametrize("again", [5, 1])
def test_two_sets_of_runs_lie_within_the_spread_in_95_of_100_cases(again):
    rng = np.random.default_rng(0)
    pairs = [(runs[:5], runs[5:]) for runs in rng.normal(0, 0.02, (4000, 5 + again)).tolist()]
    inside = [abs(np.mean(one) - np.mean(other)) <= reproduced.spread(one, other) for one, other in pairs]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.012)


def test_two_single_runs_have_no_spread():
    assert reproduced.table({"arms": {"gan": [[0.5], [0.6]]}}).splitlines()[-1].split("|")[1:-1] == [
        " gan ",
        " 50.0      ",
        " 60.0  ",
        " +10.0      ",
        "                       ",
    ]
