"""Synthetic clips as drawn, or only those that the fold's baseline recognises."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from pydantic import Field
from torch.nn import functional as F

from ser.core import checkpoints, params
from ser.core.errors import InputError
from ser.data import mel_store, synthetic
from ser.models.classifier import ClassifierSettings, build_classifier
from stages import sample
from tests.conftest import EMOTIONS

CLASSIFIER = {"arch": "mlp", "pretrained": "none", "frames": 16, "resize": None, "dropout": 0.0}
COUNT = 12


class Fit(params.Section):
    pass


class Sample(params.Section):
    count: int = Field(gt=0)
    right: float  # share of the mels that are of the emotion asked for


def draw(state, n_mels, emotion, embeddings, fitted, settings, generator, device):
    """Noise that is loud in the two bands that are loud in an emotion of `toy`: the one asked for or the next."""
    wrong = torch.rand(settings.count, generator=generator) >= settings.right
    band = 2 * ((emotion + wrong) % len(EMOTIONS))
    mels = 0.2 * torch.randn(settings.count, 1, n_mels, 16, generator=generator) - 0.5
    for mel, first in zip(mels, band):
        mel[:, first : first + 2] += 1.5
    return mels


@pytest.fixture(scope="module")
def trained():
    """The tensors of a classifier that knows the emotions of `draw`."""
    model = build_classifier(ClassifierSettings(**CLASSIFIER), 8, len(EMOTIONS), seed=0)
    optimiser = torch.optim.Adam(model.parameters(), 0.003)
    generator = torch.Generator().manual_seed(0)
    emotion = torch.arange(len(EMOTIONS)).repeat_interleave(20)
    for _ in range(30):
        settings = Sample(count=20, right=1.0)
        mels = torch.cat([draw(None, 8, each, None, None, settings, generator, "cpu") for each in range(len(EMOTIONS))])
        optimiser.zero_grad()
        F.cross_entropy(model(mels), emotion).backward()
        optimiser.step()
    return model.state_dict()


@pytest.fixture
def project(toy, monkeypatch):
    """The Study of `toy`, with a fitted generator `fake` for all its folds."""
    monkeypatch.setitem(sys.modules, "ser.generators.fake", SimpleNamespace(Fit=Fit, Sample=Sample, sample=draw))
    save(toy, "data/embeddings", lambda fold: {"features": torch.zeros(len(fold.train), 2)})
    save(toy, "models/generators/fake", lambda fold: statistics())
    return toy


@pytest.fixture
def baseline(project, trained):
    """The classifier `trained` as the baseline of every fold of `project`."""
    save(project, "models/arms/baseline", lambda fold: trained | statistics())


def save(real, path, tensors):
    every = {f"{fold.name}/{name}": tensor.clone() for fold in real.folds for name, tensor in tensors(fold).items()}
    checkpoints.save(path, every, {"units": {fold.name: {"training": fold.training_digest} for fold in real.folds}})


def statistics():
    return {"mean": torch.full((8,), -50.0), "std": torch.full((8,), 12.0)}


def run(recognised, right=0.5, seed=0):
    """The emotion that each synthetic clip of the stage was drawn for, and the one whose bands are loud in it."""
    values = {
        "seed": seed,
        "emotions": EMOTIONS,
        "split": {"protocol": "speaker"},
        "classifier": CLASSIFIER,
        "training": {"precision": "fp32"},
        "generators": {"fake": {"fit": {}, "sample": {"count": COUNT, "right": right}, "recognised": recognised}},
    }
    Path("params.yaml").write_text(yaml.safe_dump(values))
    sample.main("fake")
    pack = mel_store.read("data/synthetic/fake")
    loud = [EMOTIONS[int(pack.clip(clip).mean(1)[:6].reshape(3, 2).mean(1).argmax())] for clip in pack.index["clip"]]
    return list(pack.index.emotion), loud


def frames():
    return Path("data/synthetic/fake/frames.npy").read_bytes()


def test_clips_stay_as_drawn_and_the_baseline_untouched(project):
    wanted, loud = run(recognised=False)
    assert len(wanted) == len(project.folds) * len(EMOTIONS) * COUNT
    assert 0.3 < sum(map(str.__eq__, wanted, loud)) / len(wanted) < 0.7
    assert not Path("models/arms").exists()


def test_only_recognised_clips_are_kept_and_as_many_as_asked_for(project, baseline):
    wanted, loud = run(recognised=True)
    assert wanted == loud
    for fold in project.folds:
        rows = synthetic.index("data/synthetic/fake", fold)
        assert rows.emotion.value_counts().to_dict() == dict.fromkeys(EMOTIONS, COUNT)


def test_where_all_are_recognised_they_are_the_clips_that_are_drawn_anyway(baseline):
    run(recognised=False, right=1.0)
    drawn = frames()
    run(recognised=True, right=1.0)
    assert frames() == drawn


def test_no_clip_is_drawn_twice_and_the_seed_determines_them(baseline):
    run(recognised=True)
    first, pack = frames(), mel_store.read("data/synthetic/fake")
    assert len({pack.clip(clip).tobytes() for clip in pack.index["clip"]}) == len(pack.index)
    run(recognised=True)
    assert frames() == first
    run(recognised=True, seed=1)
    assert frames() != first


def test_a_generator_whose_clips_are_hardly_recognised_is_refused(baseline):
    with pytest.raises(
        InputError,
        match=r"^params.yaml: key `generators.fake.recognised`: the baseline of repeat 0 fold 0 recognised 0 of 240 "
        r"clips that fake drew for anger, 12 are wanted; set it to false, or ",
    ):
        run(recognised=True, right=0.0)
    assert not Path("data/synthetic/fake").exists()


def test_a_baseline_that_learnt_from_other_clips_does_not_choose(project, baseline):
    facts = json.loads(Path("models/arms/baseline.json").read_text())
    facts["units"]["0-0"]["training"] = project.folds[1].training_digest
    Path("models/arms/baseline.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="^models/arms/baseline was not made from the training part of repeat 0 fold"):
        run(recognised=True)
