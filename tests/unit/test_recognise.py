"""Test clips, recognised in pieces by the generator of their fold."""

from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from ser.core import checkpoints, fold_jobs
from ser.generators import base
from stages import recognise
from tests.helpers.constants import EMOTIONS
from tests.helpers.fake_generator import FakeGenerator

LONGEST, SCALE = 9, 0.1
RECOGNITION = {"levels": 2, "lowest": 0.2, "highest": 0.8, "scale": SCALE}


class ByLength(FakeGenerator):
    """Notes what it is asked for; the longer a piece, the less it is explained by the first classes."""

    def log_likelihoods(self, mels, n_classes, config, rng):
        self.calls.append((mels, config, torch.rand(1, generator=rng).item()))
        return torch.tensor([[label * mel.shape[1] for label in range(n_classes)] for mel in mels]).float()


@pytest.fixture
def predictions(toy, monkeypatch):
    """What the stage writes for `toy`, with a generator `fake`."""
    monkeypatch.setattr(base, "get", {"fake": ByLength}.__getitem__)
    monkeypatch.setattr(ByLength, "calls", [])
    normaliser = toy.clips(toy.folds[0].train, "cpu").normaliser()
    tensors = {
        f"{fold.name}/normaliser.{name}": value.clone()
        for fold in toy.folds
        for name, value in normaliser.state_dict().items()
    }
    facts = {"folds": {fold.name: {"train_digest": fold.train_digest} for fold in toy.folds}}
    checkpoints.save("models/generators/fake", tensors, facts)
    values = {
        "seed": 0,
        "emotions": EMOTIONS,
        "split": {"protocol": "speaker"},
        "generators": {"fake": {"fit": {"frames": LONGEST}, "recognition": RECOGNITION}},
    }
    Path("params.yaml").write_text(yaml.safe_dump(values))
    fold_jobs.main(recognise.JOB, "fake")
    return pd.read_csv("metrics/recognised/fake.csv")


def test_likelihoods_of_the_pieces_of_a_clip_are_added_up(toy, predictions):
    assert sorted(predictions["clip"]) == sorted(toy.catalogue["clip"]) and set(predictions["run"]) == {0}
    for fold in toy.folds:
        rows = predictions[predictions["fold"] == fold.fold]
        assert list(rows["clip"]) == fold.test
        frames = toy.clips(fold.test, "cpu").length
        assert (frames > LONGEST).any()
        expected = (SCALE * frames[:, None] * torch.arange(len(EMOTIONS))).softmax(1)
        torch.testing.assert_close(torch.tensor(rows[EMOTIONS].to_numpy()).float(), expected, atol=1e-5, rtol=0)


def test_each_generator_hears_the_test_clips_of_its_fold_in_noise_of_its_own(toy, predictions):
    assert len(ByLength.calls) == len(toy.folds)
    for fold, (mels, config, _) in zip(toy.folds, ByLength.calls, strict=True):
        _, pieces = toy.clips(fold.test, "cpu").pieces(LONGEST)
        assert [mel.shape for mel in mels] == [piece.shape for piece in pieces]
        assert config.model_dump() == RECOGNITION
    assert len({noise for *_, noise in ByLength.calls}) == len(toy.folds)
