"""Test clips, enhanced in pieces under each condition, and what the baseline makes of them."""

from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from ser.core import checkpoints, fold_jobs
from ser.core.fold import Run
from ser.data.clips import clips_from_mels
from ser.generators import base
from ser.models.classifier import ClassifierConfig, build_classifier, evaluate
from stages import enhance
from tests.helpers.constants import EMOTIONS
from tests.helpers.fake_generator import FakeGenerator

CLASSIFIER = {"arch": "mlp", "pretrained": "none", "frames": 16, "resize": None, "dropout": 0.0}
ENHANCEMENT = {"strength": 0.4, "steps": 2, "guidance": 2.0}
LONGEST, RUNS = 9, 2
CENTROIDS = 10.0 * torch.eye(3)


class Louder(FakeGenerator):
    """Notes what it is asked for, and makes mels louder by a standard deviation."""

    def enhance(self, mels, labels, embeddings, config, rng):
        self.calls.append((mels, labels, embeddings, config, torch.rand(1, generator=rng).item()))
        return [mel + 1 for mel in mels]


@pytest.fixture
def models(toy, monkeypatch):
    """[(run, its baseline)] of all folds of `toy`, after the stage has run with a generator `fake`."""
    monkeypatch.setattr(base, "get", {"fake": Louder}.__getitem__)
    monkeypatch.setattr(Louder, "calls", [])
    normaliser = toy.clips(toy.folds[0].train, "cpu").normaliser()
    config = ClassifierConfig(**CLASSIFIER)
    models = [
        (Run.of(fold, run), build_classifier(config, normaliser, 3, seed=10 * fold.fold + run).eval())
        for fold in toy.folds
        for run in range(RUNS)
    ]
    save([(run, model.state_dict()) for run, model in models], "models/arms/baseline")
    save([(fold, {"centroids": CENTROIDS}) for fold in toy.folds], "data/embeddings")
    state = {f"normaliser.{name}": tensor for name, tensor in normaliser.state_dict().items()}
    save([(fold, state) for fold in toy.folds], "models/generators/fake")
    values = {
        "seed": 0,
        "emotions": EMOTIONS,
        "split": {"protocol": "speaker"},
        "classifier": CLASSIFIER,
        "training": {"precision": "fp32", "runs": RUNS},
        "enhancement": ENHANCEMENT,
        "generators": {"fake": {"fit": {"frames": LONGEST}}},
    }
    Path("params.yaml").write_text(yaml.safe_dump(values))
    fold_jobs.main(enhance.JOB, "fake")
    return models


def save(states, path):
    tensors = {f"{fold.name}/{name}": value.clone() for fold, state in states for name, value in state.items()}
    checkpoints.save(path, tensors, {"folds": {fold.name: {"train_digest": fold.train_digest} for fold, _ in states}})


def table(condition):
    return pd.read_csv(f"metrics/enhanced/fake/{condition}.csv")


def test_whole_clips_are_enhanced_in_pieces_that_are_no_longer_than_the_generator_can_make(toy, models):
    for fold, (mels, *_) in zip(toy.folds, Louder.calls[::3], strict=True):
        test, normaliser = toy.clips(fold.test, "cpu"), models[0][1].normaliser
        _, pieces = test.pieces(LONGEST)
        assert len(pieces) > len(test) and max(mel.shape[1] for mel in mels) <= LONGEST
        for mel, piece in zip(mels, pieces, strict=True):
            torch.testing.assert_close(mel, normaliser(piece))


def test_the_conditions_are_the_true_label_the_predicted_label_and_none(toy, models):
    for number, fold in enumerate(toy.folds):
        test = toy.clips(fold.test, "cpu")
        clip_index, _ = test.pieces(LONGEST)
        own = [model for run, model in models if run.fold == fold.fold]
        logits = torch.stack([evaluate(model, test, CLASSIFIER["frames"], "fp32") for model in own])
        predicted = logits.softmax(2).mean(0).argmax(1)
        true, guessed, none = Louder.calls[3 * number : 3 * number + 3]
        for (_, labels, embeddings, *_), expected in ((true, test.labels), (guessed, predicted)):
            assert torch.equal(labels, expected[clip_index])
            assert torch.equal(embeddings, CENTROIDS[labels])
        assert none[1] is None and none[2] is None
        assert true[3].model_dump() == ENHANCEMENT
        assert true[4] == guessed[4] == none[4]  # the same noise
    assert len({call[4] for call in Louder.calls}) == len(toy.folds)


def test_predictions_are_means_over_the_pieces_of_a_clip(toy, models):
    for condition in ("true_label", "predicted_label", "no_label"):
        predictions = table(condition)
        assert len(predictions) == RUNS * len(toy.catalogue)
        for run, model in models:
            test = toy.clips(run.test, "cpu")
            clip_index, pieces = test.pieces(LONGEST)
            louder = [model.normaliser.to_db(model.normaliser(piece) + 1) for piece in pieces]
            logits = evaluate(model, clips_from_mels(louder, clip_index), CLASSIFIER["frames"], "fp32")
            means = torch.stack([logits[clip_index == clip].mean(0) for clip in range(len(test))])
            rows = predictions[(predictions["fold"] == run.fold) & (predictions["run"] == run.run)]
            assert list(rows["clip"]) == run.test
            probabilities = torch.tensor(rows[EMOTIONS].to_numpy()).float()
            torch.testing.assert_close(probabilities, means.softmax(1), atol=2e-3, rtol=0)
