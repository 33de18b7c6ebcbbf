"""Ablations on validation speakers: what is run, what is read of it and what is kept."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from scripts import ablation, copies, named
from scripts.overrides import merged
from ser import schema
from ser.core import params
from ser.core.errors import InputError
from tests.helpers.project import ROOT

COMMITTED = params.load(ROOT / "params.yaml")
ABLATIONS = named.ablations()
NETWORK = named.Ablation(
    title="Network",
    question="Which network?",
    hours=None,
    arm="baseline",
    given=named.HELD_OUT | {"training": {"epochs": 3}},
    candidates={"large": {"classifier": {"arch": "resnet50"}}, "small": {"classifier": {"arch": "cnn"}}},
)


def curves(*rows):
    return pd.DataFrame(rows, columns=["repeat", "fold", "run", "epoch", "validation_ua"])


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_ablation_asks_one_question_and_every_candidate_is_valid(name):
    asked = ABLATIONS[name]
    assert asked.title and asked.question.endswith("?") and asked.question.count("?") == 1
    assert asked.hours is None or asked.hours > 0
    assert len(asked.candidates) > 1
    settings = [merged(COMMITTED, merged(asked.given, changes)) for changes in asked.candidates.values()]
    for candidate in settings:
        schema.check(candidate)
        assert candidate["split"] == COMMITTED["split"] | named.HELD_OUT["split"] != COMMITTED["split"]
        assert ablation.training_stage(asked.arm, candidate["study"])
    assert all(settings.count(candidate) == 1 for candidate in settings)


def test_a_typo_in_an_ablation_is_refused_with_the_name_of_the_file(tmp_path, monkeypatch):
    text = (named.FOLDER / "ablations/network.yaml").read_text()
    path = tmp_path / "experiments/ablations/network.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text.replace("candidates:", "candidate:"))
    monkeypatch.setattr(named, "FOLDER", tmp_path / "experiments")
    with pytest.raises(InputError, match="^experiments/ablations/network.yaml: .*unknown key `candidate`; known are"):
        named.ablations()


def test_the_stage_that_trains_an_arm():
    study = {"arms": ["baseline", "masked"], "generators": ["gan"]}
    assert [ablation.training_stage(arm, study) for arm in ("masked", "gan")] == ["train@masked", "train_synthetic@gan"]
    with pytest.raises(InputError, match="key `arm`: vae is neither in `study.arms`"):
        ablation.training_stage("vae", study)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with params.yaml; returns a dict to put the curves of each experiment into, and the list of what was run
    and read."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    actions, measured, settings = [], {}, {}

    def run(name, changes, stage):
        actions.append(("run", name, changes, stage))
        settings[name] = merged(params.load(), changes)

    def read(path, rev):
        if path == "params.yaml":
            return yaml.safe_dump(settings[rev])
        actions.append(("read", rev, path))
        table = io.StringIO()
        measured[rev].to_csv(table, index=False)
        return table.getvalue()

    monkeypatch.setattr(ablation.dvc.api, "read", read)
    monkeypatch.setattr(copies, "run", run)
    return measured, actions


def kept():
    return json.loads(Path("metrics/ablations/network.json").read_text())


def test_an_ablation_reads_only_curves_and_keeps_what_was_measured(project, capsys):
    measured, actions = project
    measured["ablation-network-1"] = curves((0, 0, 0, 1, 0.5), (0, 1, 0, 1, 0.25))
    measured["ablation-network-2"] = curves((0, 0, 0, 1, 0.75), (0, 1, 0, 1, 1.0))
    ablation.measure("network", NETWORK)
    large, small = {"classifier": {"arch": "resnet50"}}, {"classifier": {"arch": "cnn"}}
    given = {"split": {"validation": 0.3}, "training": {"epochs": 3}}
    assert actions == [
        ("run", "ablation-network-1", given | large, "train@baseline"),
        ("read", "ablation-network-1", "metrics/curves/baseline.csv"),
        ("run", "ablation-network-2", given | small, "train@baseline"),
        ("read", "ablation-network-2", "metrics/curves/baseline.csv"),
    ]
    assert kept() == {
        "question": "Which network?",
        "command": "python -m scripts.ablation network",
        "given": given,
        "protocol": "UA on validation speakers (30% of those of the training part) after the last epoch, "
        "speakers apart.",
        "repeats": COMMITTED["split"]["repeats"],
        "candidates": {
            "large": {"changes": large, "ua": [0.5, 0.25]},
            "small": {"changes": small, "ua": [0.75, 1.0]},
        },
    }
    assert capsys.readouterr().out == "large: UA 37.5\nsmall: UA 87.5, +50.0 ± 25.0\n"


def test_the_last_epoch_counts_averaged_over_runs_fold_by_fold(project):
    measured, _ = project
    rows = [
        (0, 0, 0, 1, 0.9),
        (0, 0, 0, 2, 0.5),
        (0, 0, 1, 1, 0.1),
        (0, 0, 1, 2, 0.75),
        (0, 1, 0, 1, 0.3),
        (0, 1, 0, 2, 0.25),
        (0, 1, 1, 1, 0.8),
        (0, 1, 1, 2, 0.5),
        (1, 0, 0, 1, 0.2),
        (1, 0, 0, 2, 1.0),
    ]
    measured["ablation-network-1"] = measured["ablation-network-2"] = curves(*rows).sample(frac=1, random_state=0)
    ablation.measure("network", NETWORK)
    assert kept()["candidates"]["large"]["ua"] == [0.625, 0.375, 1.0]


@pytest.fixture
def before_the_second(project, monkeypatch):
    """A function that takes what is to happen between the first candidate, which is measured, and the second."""
    measured, _ = project
    measured["ablation-network-1"] = curves((0, 0, 0, 1, 0.5), (0, 1, 0, 1, 0.4))
    run = copies.run

    def arrange(happens):
        def interfered(name, *arguments):
            if name == "ablation-network-2":
                happens()
            run(name, *arguments)

        monkeypatch.setattr(copies, "run", interfered)

    return arrange


def test_what_was_measured_before_an_interruption_is_kept(before_the_second):
    def interrupt():
        raise KeyboardInterrupt

    before_the_second(interrupt)
    with pytest.raises(KeyboardInterrupt):
        ablation.measure("network", NETWORK)
    assert list(kept()["candidates"]) == ["large"]


def test_settings_that_change_between_candidates_spoil_the_comparison(before_the_second):
    def edit():
        Path("params.yaml").write_text(yaml.safe_dump(merged(COMMITTED, {"training": {"learning_rate": 0.5}})))

    before_the_second(edit)
    with pytest.raises(InputError, match="params.yaml was changed while 'small' was measured"):
        ablation.measure("network", NETWORK)
    assert list(kept()["candidates"]) == ["large"]


def test_a_candidate_that_no_stage_would_accept_is_refused_before_any_runs(project):
    _, actions = project
    candidates = merged(NETWORK.candidates, {"small": {"classifier": {"arhc": "cnn"}}})
    with pytest.raises(InputError, match="unknown key `classifier.arhc`, did you mean `arch`?"):
        ablation.measure("network", NETWORK.model_copy(update={"candidates": candidates}))
    assert not actions and not Path("metrics").exists()


def test_the_error_is_of_paired_differences():
    first, second = np.array([0.5, 0.7, 0.6]), np.array([0.6, 0.8, 0.7])
    candidates = {"first": {"ua": first.tolist()}, "second": {"ua": second.tolist()}}
    assert ablation.line("second", candidates) == "second: UA 70.0, +10.0 ± 0.0"


def test_the_command_knows_its_ablations():
    command = [sys.executable, "-m", "scripts.ablation", "x"]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert completed.returncode == 2 and "'network'" in completed.stderr
