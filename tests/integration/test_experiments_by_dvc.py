"""Changes of params.yaml and the graph, as DVC itself takes them."""

import shutil
import subprocess
import sys
from itertools import chain
from typing import get_args

import pytest
from dvc.utils.cli_parse import to_path_overrides
from dvc.utils.hydra import apply_overrides
from pydantic import BaseModel

from scripts import named, watched
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
        for path, of_file in to_path_overrides(named.overrides(change)).items():
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


def test_stages_of_the_graph_are_counted_with_what_they_need(monkeypatch):
    monkeypatch.chdir(ROOT)
    download, split = watched.n_stages(["download@demo"]), watched.n_stages(["split"])
    assert download == 1
    assert split == 6  # three corpora, one's own recordings, catalogue, split; mels are not needed
    assert watched.n_stages([]) > watched.n_stages(["compare"]) > split
