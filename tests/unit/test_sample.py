"""Synthetic clips as drawn, or only those that the fold's baseline recognises."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from pydantic import Field
from torch.nn import functional as F

from ser.core import checkpoints, fold_jobs
from ser.core.errors import InputError
from ser.core.fold import Run
from ser.core.params import Config
from ser.core.rng import make_rng
from ser.data import mel_store, synthetic
from ser.data.clips import Normaliser, clips_from_mels, trimmed
from ser.generators import base
from ser.models.classifier import ClassifierConfig, build_classifier
from stages import sample
from tests.helpers.constants import EMOTIONS

CLASSIFIER = {"arch": "mlp", "pretrained": "none", "frames": 16, "resize": None, "dropout": 0.0}
COUNT, TRIM_DB = 12, 30.0


class FakeFitConfig(Config):
    pass


class FakeSampleConfig(Config):
    count: int = Field(gt=0)
    correct: float  # share of the mels that are of the emotion asked for


class FakeGenerator(base.Generator):
    """Noise that is loud in the two bands that are loud in an emotion of `toy`: the one asked for or the next.

    It is 14 to 18 frames long and begins and ends with two frames of silence.
    """

    FitConfig = FakeFitConfig
    SampleConfig = FakeSampleConfig

    @classmethod
    def fit(cls, part, config, seed, log):
        return cls(config, part.normaliser)

    @classmethod
    def restore(cls, state, config):
        generator = cls(config, Normaliser.blank(len(state["normaliser.mean"])))
        generator.load_state_dict(state)
        return generator

    def sample(self, label, embeddings, config, rng):
        wrong = torch.rand(config.count, generator=rng) >= config.correct
        bands = 2 * ((label + wrong) % len(EMOTIONS))
        mels = []
        for number, band in enumerate(bands.tolist()):
            mel = 0.2 * torch.randn(self.normaliser.n_mels, 14 + number % 5, generator=rng) - 0.5
            mel[band : band + 2] += 1.5
            mel[:, [0, 1, -2, -1]] = self.normaliser.silence()
            mels.append(mel)
        return mels


@pytest.fixture(scope="module")
def trained():
    """The state of a classifier that recognises the emotions of a FakeGenerator."""
    model = build_classifier(ClassifierConfig(**CLASSIFIER), normaliser(), len(EMOTIONS), seed=0)
    optimiser = torch.optim.Adam(model.parameters(), 0.003)
    generator, config = FakeGenerator(FakeFitConfig(), normaliser()), FakeSampleConfig(count=20, correct=1.0)
    rng = make_rng(0)
    labels = torch.arange(len(EMOTIONS)).repeat_interleave(20)
    for _ in range(30):
        mels = torch.cat([crops(generator.sample(label, None, config, rng)) for label in range(len(EMOTIONS))])
        optimiser.zero_grad()
        F.cross_entropy(model(mels), labels).backward()
        optimiser.step()
    return model.state_dict()


@pytest.fixture
def project(toy, monkeypatch):
    """The Dataset of `toy`, with a fitted generator `fake` for all its folds."""
    monkeypatch.setattr(base, "get", {"fake": FakeGenerator}.__getitem__)
    save(toy.folds, "data/embeddings", lambda fold: {"embeddings": torch.zeros(len(fold.train), 2)})
    save(toy.folds, "models/generators/fake", lambda fold: FakeGenerator(FakeFitConfig(), normaliser()).state_dict())
    return toy


@pytest.fixture
def baseline(project, trained):
    """The classifier `trained` as the baseline of every fold of `project`."""
    save([Run.of(fold, 0) for fold in project.folds], "models/arms/baseline", lambda fold: trained)


def save(folds, path, tensors_of):
    tensors = {f"{fold.name}/{name}": tensor.clone() for fold in folds for name, tensor in tensors_of(fold).items()}
    checkpoints.save(path, tensors, {"folds": {fold.name: {"train_digest": fold.train_digest} for fold in folds}})


def crops(mels):
    """What a classifier sees of synthetic mels: trimmed, their peak at 0 dB, in the middle of 16 frames."""
    clips = clips_from_mels([trimmed(normaliser().to_db(mel), TRIM_DB) for mel in mels], torch.zeros(len(mels)))
    return normaliser()(clips.crops(torch.arange(len(mels)), 16, 0.5))


def normaliser():
    return Normaliser(torch.full((8,), -50.0), torch.full((8,), 12.0))


def run(recognised, correct=0.5, seed=0, trim_db=TRIM_DB):
    """The emotion that each synthetic clip of the stage was drawn for, and the one whose bands are loud in it."""
    generator = {"fit": {}, "sample": {"count": COUNT, "correct": correct}, "recognised": recognised}
    values = {
        "seed": seed,
        "emotions": EMOTIONS,
        "audio": {"trim_db": trim_db},
        "split": {"protocol": "speaker"},
        "classifier": CLASSIFIER,
        "training": {"precision": "fp32"},
        "generators": {"fake": generator},
    }
    Path("params.yaml").write_text(yaml.safe_dump(values))
    fold_jobs.main(sample.JOB, "fake")
    store = mel_store.read("data/synthetic/fake")
    loud = [EMOTIONS[int(store.clip(clip).mean(1)[:6].reshape(3, 2).mean(1).argmax())] for clip in store.index["clip"]]
    return list(store.index["emotion"]), loud


def frames():
    return Path("data/synthetic/fake/frames.npy").read_bytes()


def test_clips_stay_as_drawn_and_the_baseline_is_not_asked(project):
    Path("models/arms").mkdir()
    for name in ("baseline.json", "baseline.safetensors"):
        Path("models/arms", name).write_text("no model")
    wanted, loud = run(recognised=False)
    assert len(wanted) == len(project.folds) * len(EMOTIONS) * COUNT
    assert 0.3 < sum(map(str.__eq__, wanted, loud)) / len(wanted) < 0.7


@pytest.mark.parametrize(("trim_db", "silent"), [(TRIM_DB, 0), (None, 4)])
def test_clips_are_trimmed_as_real_ones_and_their_peak_is_at_0_db(baseline, trim_db, silent):
    run(recognised=False, trim_db=trim_db)
    store = mel_store.read("data/synthetic/fake")
    for clip, take in zip(store.index["clip"], store.index["clip"].str[-4:].astype(int), strict=True):
        mel = store.clip(clip)
        assert mel.shape[1] == 10 + take % 5 + silent
        assert mel.max() == 0 and mel.min() >= -80
        assert (mel.max(axis=0) < -20).sum() == silent


def test_only_recognised_clips_are_kept_and_as_many_as_asked_for(project, baseline):
    wanted, loud = run(recognised=True)
    assert wanted == loud
    for fold in project.folds:
        rows = synthetic.index("data/synthetic/fake", fold)
        assert rows["emotion"].value_counts().to_dict() == dict.fromkeys(EMOTIONS, COUNT)


def test_where_all_are_recognised_they_are_the_clips_that_are_drawn_anyway(baseline):
    run(recognised=False, correct=1.0)
    drawn = frames()
    run(recognised=True, correct=1.0)
    assert frames() == drawn


def test_no_clip_is_drawn_twice_and_the_seed_determines_them(baseline):
    run(recognised=True)
    first, store = frames(), mel_store.read("data/synthetic/fake")
    assert len({store.clip(clip).tobytes() for clip in store.index["clip"]}) == len(store.index)
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
        run(recognised=True, correct=0.0)
    assert not Path("data/synthetic/fake").exists()


def test_a_baseline_that_was_trained_on_other_clips_does_not_choose(project, baseline):
    facts = json.loads(Path("models/arms/baseline.json").read_text())
    facts["folds"]["0-0-0"]["train_digest"] = project.folds[1].train_digest
    Path("models/arms/baseline.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="^models/arms/baseline was not made from the training part of repeat 0 fold"):
        run(recognised=True)
