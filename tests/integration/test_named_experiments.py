"""Every replication of a published project runs from end to end on the demo corpus, at a reduced size."""

import importlib
import json
import shutil
from pathlib import Path

import networkx
import pandas as pd
import pytest
from dvc.repo import Repo

from scripts import named
from scripts.overrides import merged
from ser.core import fold_jobs, params
from ser.corpora import demo
from tests.helpers.project import ROOT, change, copy_of_the_repository

EXPERIMENTS = named.experiments()
REPLICATIONS = sorted(path.stem for path in (named.FOLDER / "replications").glob("*.yaml"))
CATALOGUE = "catalogue"


def reduced(name):
    """params.yaml with what the replication changes, at the sizes of experiments/tiny.yaml, on the demo corpus.

    Two changes cannot be tried there: the demo has only the six common emotions, so boredom, calm and surprise are left
    out (tests/integration/test_label_sets.py has them), and ImageNet weights are not fetched.
    """
    full = merged(params.load(ROOT / "params.yaml"), EXPERIMENTS[name].changes)
    kept = {
        "study": {key: full["study"][key] for key in ("arms", "generators", "enhanced", "recognising", "build_on")},
        "emotions": [emotion for emotion in full["emotions"] if emotion in demo.EMOTIONS],
        "classifier": {
            "arch": full["classifier"]["arch"],
            "pretrained": "none",
            "resize": full["classifier"]["resize"] and 40,
        },
        "training": {"runs": 1, "epochs": 1},
    }
    return merged(merged(full, EXPERIMENTS["tiny"].changes), kept)


def run(project, wanted):
    """Run the stages of dvc.yaml, in its order and with its commands, in this process: nothing is imported twice."""
    with Repo(project) as repo:
        stages = [(stage.name, stage.cmd) for stage in networkx.dfs_postorder_nodes(repo.index.graph)]
    for name, command in stages:
        if wanted(name):
            _, _, module, *arguments = command.split()
            script = importlib.import_module(module)
            if hasattr(script, "JOB"):
                fold_jobs.main(script.JOB, *arguments)
            else:
                script.main(*arguments)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """A copy of this repository that holds one take of every clip of the demo corpus, and their catalogue."""
    folder = copy_of_the_repository(tmp_path_factory.mktemp("spoken") / "project")
    demo.fetch(folder / "data/corpora/demo", names=[name for name in demo.clips() if name.endswith("_1")])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run(folder, lambda stage: stage == CATALOGUE)
    return folder


@pytest.fixture
def project(spoken, tmp_path, monkeypatch):
    folder = shutil.copytree(spoken, tmp_path / "project")
    for results in ("metrics", "plots"):
        shutil.rmtree(folder / results)
    monkeypatch.chdir(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", REPLICATIONS)
def test_a_replication_runs(name, project):
    settings = reduced(name)
    change(project, settings)
    run(project, lambda stage: not stage.startswith(("download", CATALOGUE)))

    arms = settings["study"]["arms"] + settings["study"]["generators"]
    summary = json.loads(Path("metrics/compare.json").read_text())
    assert list(summary) == arms
    details = json.loads(Path("metrics/details.json").read_text())
    assert details["protocol"] == settings["split"]["protocol"] and details["emotions"] == settings["emotions"]
    for arm in arms:
        assert len(pd.read_csv(f"metrics/predictions/{arm}.csv")) == details["clips"]
        built = json.loads(Path(f"models/arms/{arm}.json").read_text())["classifier"]
        assert built["arch"] == settings["classifier"]["arch"]
