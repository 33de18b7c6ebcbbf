"""Changes of params.yaml and the graph, as DVC itself takes them."""

import os
import shutil
import subprocess
import sys
from itertools import chain
from typing import get_args

import dvc.api
import pytest
from dvc.repo import Repo
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides
from pydantic import BaseModel

from scripts import copies, named
from scripts.overrides import flattened, merged
from ser import schema
from ser.core import params
from ser.generators import base
from ser.generators.base import RecognitionConfig
from tests.helpers.project import ROOT, copy_of_the_repository

COMMITTED = params.load(ROOT / "params.yaml")


def test_dvc_takes_changes_of_keys_that_params_leave_out(tmp_path, monkeypatch):
    """Every change of every file, as DVC itself applies it to a copy of params.yaml."""
    changes = [experiment.changes for experiment in named.experiments().values()]
    for ablation in named.ablations().values():
        changes += [merged(ablation.given, candidate) for candidate in ablation.candidates.values()]
    changes.append(
        {"augmentation": {"augmented": {"time_mask": 0.05}}, "emotions": ["fear"], "audio": {"trim_db": None}}
    )
    monkeypatch.chdir(tmp_path)
    for change in changes:
        shutil.copy(ROOT / "params.yaml", "params.yaml")
        for path, of_file in to_path_overrides(copies.overrides(change)).items():
            apply_overrides(path, of_file)
        assert params.load() == merged(COMMITTED, change)


def float_keys(kind, values, key):
    """The dotted key of every setting of `kind`, at `key` of params.yaml with `values`, that is a float."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            yield from float_keys(field.annotation, (values or {}).get(name), f"{key}.{name}")
    elif kind is float:
        yield key
    elif getattr(kind, "__origin__", None) is dict:
        for name, value in values.items():
            yield from float_keys(get_args(kind)[1], value, f"{key}.{name}")
    else:
        yield from chain(*(float_keys(member, values, key) for member in get_args(kind)))


def all_float_keys():
    yield from float_keys(schema.ParamsConfig, COMMITTED, "")
    for name, sections in COMMITTED["generators"].items():
        generator = base.get(name)
        kinds = {"fit": generator.FitConfig, "sample": generator.SampleConfig, "recognition": RecognitionConfig}
        for section in kinds.keys() & sections:
            yield from float_keys(kinds[section], sections[section], f".generators.{name}.{section}")


@pytest.mark.parametrize("number", ["0.00001", "1e-05", "2.5E-8", "-1e-5", "1e+20", "3e16"])
def test_every_float_that_dvc_writes_is_read_as_that_number(number, tmp_path, monkeypatch):
    """DVC writes 0.00001 as 1e-05, which YAML 1.1 takes for text."""
    keys = [key.removeprefix(".") for key in all_float_keys()]
    assert {"training.learning_rate", "generators.gan.fit.generator_rate", "augmentation.masked.vtlp"} < set(keys)
    in_the_file = {key for key, value in flattened(COMMITTED) if isinstance(value, float)}
    assert in_the_file <= set(keys)
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    apply_overrides("params.yaml", [f"++{key}={number}" for key in keys])
    assert {key: params.read(key, float) for key in keys} == dict.fromkeys(keys, float(number))


def test_the_command_names_the_key_and_runs_nothing(tmp_path):
    command = [sys.executable, "-m", "scripts.experiment", "tiny", "training.epoch=3"]
    folder = copy_of_the_repository(tmp_path / "copy")  # this clone may be shallow
    completed = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert completed.returncode == 1
    assert completed.stderr.strip() == "error: params.yaml: unknown key `training.epoch`, did you mean `epochs`?"


COMMIT = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q"]
PROGRAM = """
import os, signal, sys
from pathlib import Path
Path("logs").mkdir()
Path("logs/split.log").write_text("no such corpus")
Path("metrics.json").write_text('{"ua": 0.5}')
Path("seen.txt").write_text(Path("notes.txt").read_text() + " ".join(sys.argv[1:]))
if Path("status").read_text() == "stopped":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.kill(os.getppid(), signal.SIGTERM)
    signal.pause()
sys.exit(int(Path("status").read_text()))
"""
STAGES = """
stages:
  split:
    cmd: python -m ser
    params: [split.folds]
  not_run:
    cmd: python -m ser
    outs: [missing]
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A clone whose `ser run` does next to nothing, with a change that is not committed; Git does not know the user."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    folder = tmp_path / "toy"
    files = {
        "ser/__init__.py": "",
        "ser/__main__.py": PROGRAM,
        "params.yaml": "split: {folds: 5}\n",
        "dvc.yaml": STAGES,
        "metrics.json": "{}",
        "notes.txt": "committed ",
        "status": "0",
        "seen.txt": "",
        ".gitignore": "/logs\n",
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    subprocess.run(["git", "init", "-q", folder], check=True)
    Repo.init(folder).close()
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    subprocess.run([*COMMIT, "-m", "first"], cwd=folder, check=True)
    (folder / "notes.txt").write_text("changed ")
    monkeypatch.chdir(folder)
    return folder


def status():
    return subprocess.check_output(["git", "status", "--short"], text=True)


def test_a_run_becomes_an_experiment_and_leaves_the_workspace_alone(toy):
    for folds in (3, 4):  # the second replaces the first, although it starts from another commit
        copies.run("thirds", {"split": {"folds": folds}}, "split")
        subprocess.run([*COMMIT, "--allow-empty", "-m", "another"], check=True)
    assert status() == " M notes.txt\n"
    assert list((toy / ".dvc/tmp").glob("copies/*")) == []
    assert dvc.api.read("metrics.json", rev="thirds") == '{"ua": 0.5}'
    assert dvc.api.read("seen.txt", rev="thirds") == "changed run split"
    assert params.parse(dvc.api.read("params.yaml", rev="thirds"), "") == {"split": {"folds": 4}}
    listed = subprocess.check_output([sys.executable, "-m", "dvc", "exp", "list", "-A", "--name-only"], text=True)
    assert listed.split() == ["thirds"]


def test_a_run_that_fails_ends_with_its_status_and_leaves_its_logs(toy):
    (toy / "status").write_text("3")
    with pytest.raises(SystemExit) as ended:
        copies.run("thirds", {})
    assert ended.value.code == 3
    assert (toy / "logs/thirds/split.log").read_text() == "no such corpus"
    assert not subprocess.check_output([sys.executable, "-m", "dvc", "exp", "list", "--name-only"], text=True)


def test_a_run_that_is_told_to_stop_ends_its_stages_first(toy):
    (toy / "status").write_text("stopped")  # which sends SIGTERM to this process
    with pytest.raises(SystemExit) as ended:
        copies.run("thirds", {})
    assert ended.value.code == 143
    assert list((toy / ".dvc/tmp").glob("copies/*")) == []
