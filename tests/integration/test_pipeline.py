"""The graph as DVC runs it, on the smallest experiment: what reruns, what is shared, what survives a kill."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import balanced_accuracy_score

from ser.core import params
from tests.helpers.project import call, change, commit, copy_of_the_repository, repro
from tests.stress import faults

ARMS = ["baseline", "masked", "augmented", "diffusion"]
RESULTS = [
    f"{place}.{kind}"
    for arm in ARMS
    for place, kind in ((f"metrics/predictions/{arm}", "csv"), (f"models/arms/{arm}", "safetensors"))
]


def test_nothing_changed_runs_nothing(project):
    assert repro(project) == set()
    assert "Data and pipelines are up to date" in call("dvc", "status", cwd=project)


def test_every_file_that_a_stage_reads_is_among_its_deps(project):
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    read = {}
    for line in (project.parent / "witnessed.tsv").read_text().splitlines():
        module, *argument, path = line.split("\t")
        module = module.removeprefix("stages.")
        read.setdefault(module if module in lock else f"{module}@{argument[0]}", set()).add(path)
    assert read.keys() == {name for name in lock if not name.startswith(("download", "collect"))}
    for stage, paths in read.items():
        known = [entry["path"] for kind in ("deps", "outs") for entry in lock[stage][kind]] + ["data/fold_jobs"]
        unknown = {path for path in paths if not any(Path(path).is_relative_to(place) for place in known)}
        assert not unknown, stage


def test_ua_is_recomputed_from_the_predictions(project):
    summary = json.loads((project / "metrics/compare.json").read_text())
    assert list(summary) == ARMS
    for arm, metrics in summary.items():
        runs = pd.read_csv(project / f"metrics/predictions/{arm}.csv").groupby("run")
        uas = [balanced_accuracy_score(run["emotion"], run["predicted"]) for _, run in runs]
        assert len(uas) == 2 and metrics["ua"] == pytest.approx(np.mean(uas), abs=1e-6)


def test_no_speaker_on_two_sides_and_only_real_clips_tested(project):
    catalogue = pd.read_csv(project / "data/catalogue.csv")
    split = pd.read_csv(project / "data/splits.csv").merge(catalogue[["clip", "speaker"]], on="clip")
    for _, fold in split.groupby(["repeat", "fold"]):
        sides = [set(rows) for _, rows in fold.groupby("role")["speaker"]]
        assert sum(map(len, sides)) == len(set.union(*sides))
    synthetic = set(pd.read_csv(project / "data/synthetic/diffusion/index.csv")["clip"])
    predicted = set(pd.read_csv(project / "metrics/predictions/diffusion.csv")["clip"])
    assert synthetic.isdisjoint(split["clip"])
    assert predicted == set(catalogue["clip"])


def test_a_masking_knob_reruns_the_masked_arm_alone(project):
    before = params.load(project / "params.yaml")["augmentation"]["masked"]["time_mask"]
    change(project, {"augmentation": {"masked": {"time_mask": before + 0.1}}})
    assert repro(project) == {"train@masked", "compare", "overview@diffusion", "adapt", "card"}
    change(project, {"augmentation": {"masked": {"time_mask": before}}})
    assert repro(project) == {"compare", "adapt", "card"}  # the run cache knows the others


def test_an_augmentation_knob_reruns_the_augmented_arm_and_those_that_build_on_it(project):
    before = params.load(project / "params.yaml")["augmentation"]["augmented"]["vtlp"]
    change(project, {"augmentation": {"augmented": {"vtlp": before + 0.1}}})
    assert repro(project) == {
        "train@augmented",
        "train_synthetic@diffusion",
        "compare",
        "overview@diffusion",
        "adapt",
        "export",
        "card",
    }
    change(project, {"augmentation": {"augmented": {"vtlp": before}}})
    assert repro(project) == {"compare", "adapt", "export", "card"}  # what is in Git is not in the run cache


def test_a_diffusion_knob_leaves_the_other_arms_alone(project):
    before = params.load(project / "params.yaml")["generators"]["diffusion"]["sample"]["guidance"]
    change(project, {"generators": {"diffusion": {"sample": {"guidance": before + 1}}}})
    assert repro(project) == {
        "sample@diffusion",
        "sample_quality@diffusion",
        "gallery@diffusion",
        "train_synthetic@diffusion",
        "compare",
        "overview@diffusion",
        "adapt",
        "card",
    }
    change(project, {"generators": {"diffusion": {"sample": {"guidance": before}}}})
    assert repro(project) == {"compare", "adapt", "card"}


def test_a_knob_of_the_autoencoder_changes_nothing_of_a_generator_that_does_not_use_it(project):
    before = params.load(project / "params.yaml")["autoencoder"]["updates"]
    change(project, {"autoencoder": {"updates": before + 1}})
    assert repro(project) == {"fit_autoencoder", "fit@diffusion"}  # which is the same, byte for byte
    change(project, {"autoencoder": {"updates": before}})
    assert repro(project) == set()


def test_people_read_results_with_dvc(project):
    shown = json.loads(call("dvc", "metrics", "show", "--json", cwd=project))
    assert shown[""]["data"]["metrics/compare.json"]["data"]["masked"].keys() == {"ua", "wa", "f1"}
    shown = json.loads(call("dvc", "plots", "show", "--json", "-o", "shown", cwd=project))["data"]
    assert {"learning curves", "metrics/curves/masked.csv", "metrics/predictions/masked.csv"} <= shown.keys()
    assert {"metrics/losses/diffusion.csv", "plots/ua.png", "plots/gallery/diffusion.png"} <= shown.keys()
    drawn = shown["learning curves"][0]["content"]["data"]["values"]
    assert {row["arm"] for row in drawn} == set(ARMS)
    shutil.rmtree(project / "shown")


def test_a_clone_pulls_everything_derived_and_runs_nothing(project):
    call("dvc", "push", cwd=project)
    commit(project)
    clone = project.parent / "clone"
    call("git", "clone", "-q", project, clone, cwd=project.parent)
    call("dvc", "pull", "--allow-missing", cwd=clone)
    for name in ("data/mels/frames.npy", "models/arms/diffusion.safetensors", "data/synthetic/diffusion/frames.npy"):
        assert (clone / name).read_bytes() == (project / name).read_bytes()
    assert {path.parent for path in (clone / "data").rglob("*.wav")} == {clone / "data/listen/diffusion"}
    assert repro(clone, "--allow-missing") == set()


def test_a_killed_stage_goes_on_and_the_same_seed_gives_the_same_bytes(project, tmp_path):
    again = copy_of_the_repository(tmp_path / "again")
    running = faults.start(again, "train_synthetic")
    deadline = time.monotonic() + 300
    while not list(again.glob("data/fold_jobs/baseline/*/0-0-0")):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert not (again / "models/arms/baseline.safetensors").exists()

    printed = call("dvc", "repro", "train", "train_synthetic", cwd=again)
    assert re.search(r"baseline: going on, [12] of 4 folds were finished before", printed)
    for name in RESULTS:
        assert (again / name).read_bytes() == (project / name).read_bytes(), name
    assert not list(again.rglob("*.part")) and not list(again.glob("data/fold_jobs/*"))
