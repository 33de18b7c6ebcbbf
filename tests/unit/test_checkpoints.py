import errno
import json
from pathlib import Path

import pytest
import torch

from ser.core import atomic, checkpoints
from ser.core.errors import InputError
from ser.core.fold import Fold


def fold(number):
    return Fold(0, number, [f"clip {number}"], ["validation"], ["test"])


@pytest.fixture
def model(tmp_path):
    """A model of two folds, merged from their folders."""
    folders = []
    for number in range(2):
        folder = tmp_path / "folds" / f"0-{number}"
        facts = {"train_digest": fold(number).train_digest, "epoch": number}
        checkpoints.save(folder / "model", tensors(number), facts)
        folders.append(folder)
    checkpoints.merge(tmp_path / "models/baseline", folders, {"emotions": ["anger", "neutral"]})
    return tmp_path / "models/baseline"


def tensors(number):
    weight = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(number))
    return {
        "backbone.weight": weight.contiguous(memory_format=torch.channels_last),
        "backbone.count": torch.tensor(number),
        "normaliser.mean": weight[0, 0, 0].bfloat16(),
    }


def test_each_fold_gets_its_own_back(model):
    for number in range(2):
        loaded = checkpoints.load(model, fold(number))
        assert loaded.keys() == tensors(number).keys()
        for name, tensor in tensors(number).items():
            assert loaded[name].dtype == tensor.dtype
            assert torch.equal(loaded[name], tensor)


def test_a_fold_is_not_taken_for_another_whose_name_it_begins(tmp_path):
    folds = {fold(number).name: {"train_digest": fold(number).train_digest} for number in (1, 10)}
    checkpoints.save(tmp_path / "m", {"0-1/a": torch.ones(1), "0-10/b": torch.zeros(1)}, {"folds": folds})
    assert checkpoints.load(tmp_path / "m", fold(1)).keys() == {"a"}


def test_a_model_of_other_training_clips_is_refused(model):
    with pytest.raises(InputError, match=f"^{model} was not made from the training part of repeat 0 fold 1"):
        checkpoints.load(model, Fold(0, 1, ["another clip"], ["validation"], ["test"]))


def test_the_facts_say_what_built_it(model):
    facts = json.loads(model.with_suffix(".json").read_text())
    assert facts["emotions"] == ["anger", "neutral"]
    assert facts["folds"] == {
        f"0-{number}": {"train_digest": fold(number).train_digest, "epoch": number} for number in range(2)
    }


def test_the_same_tensors_give_the_same_bytes(model, tmp_path):
    before = model.with_suffix(".safetensors").read_bytes()
    checkpoints.merge(model, [tmp_path / "folds/0-0", tmp_path / "folds/0-1"], {})
    assert model.with_suffix(".safetensors").read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_reported_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_remove", lambda path: None)
    (tmp_path / ".m.safetensors.part").symlink_to("/dev/full")
    with pytest.raises(OSError) as error:
        checkpoints.save(tmp_path / "m", {"a": torch.zeros(10000)}, {})
    assert error.value.errno == errno.ENOSPC


def refused(model, number=1):
    with pytest.raises(
        InputError, match=f"^{model}: no readable model of fold 0-{number} .*; run `dvc repro` or `dvc pull`"
    ):
        checkpoints.load(model, fold(number))


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_missing_file(model, suffix):
    model.with_suffix(suffix).unlink()
    refused(model)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("size", [0, 5, 60])
def test_a_truncated_file(model, suffix, size):
    path = model.with_suffix(suffix)
    path.write_bytes(path.read_bytes()[:size])
    refused(model)


def test_a_safetensors_file_that_lacks_its_end(model):
    path = model.with_suffix(".safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    refused(model)


def test_what_torch_saves_is_not_unpickled(model):
    torch.save({"0-1/a": torch.ones(1)}, model.with_suffix(".safetensors"))
    refused(model)


def test_an_unknown_fold(model):
    refused(model, 7)


def test_facts_without_folds(model):
    model.with_suffix(".json").write_text("{}")
    refused(model)


def test_a_submodule_has_the_names_without_the_prefix():
    state = {
        "autoencoder.encoder.0.weight": torch.ones(1),
        "autoencoder2.weight": torch.ones(2),
        "flow.x": torch.ones(3),
    }
    assert list(checkpoints.submodule(state, "autoencoder.")) == ["encoder.0.weight"]
    assert checkpoints.submodule(state, "autoencoder.")["encoder.0.weight"] is state["autoencoder.encoder.0.weight"]
    assert checkpoints.submodule(state, "none.") == {}
