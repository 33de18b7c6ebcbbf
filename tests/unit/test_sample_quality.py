import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ser.core import checkpoints, params
from ser.core.errors import InputError
from ser.data import mel_store
from ser.data.clips import Clips
from ser.evaluation import sample_quality
from ser.models.classifier import ClassifierSettings, build_classifier
from ser.training import loop
from ser.training.augmentation import Masking
from stages import assess
from tests.conftest import EMOTIONS

FOLDER = Path("data/synthetic/dream")
CLASSIFIER = ClassifierSettings(arch="cnn", pretrained="none", frames=16, resize=None, dropout=0.0)
TRAINING = loop.Training(
    epochs=8,
    ema=0.0,
    mixup=0.0,
    batch=8,
    optimiser="adamw",
    learning_rate=0.003,
    weight_decay=0.01,
    label_smoothing=0.0,
    patience=8,
    precision="fp32",
)
MASKING = Masking(probability=0.0, voice=0.0, tempo=0.0, time=0.1, frequency=0.1, shift=0.1, noise=0.01, scale=0.1)
SETTINGS = {
    "emotions": EMOTIONS,
    "split.protocol": "speaker",
    "seed": 0,
    "training.precision": "fp32",
    "classifier": CLASSIFIER.model_dump(),
    "quality.classifier": CLASSIFIER.model_dump(),
    "quality.training": TRAINING.model_dump(),
    "arms.baseline.masking": MASKING.model_dump(),
}


def spectrum(rng, emotion, frames=16):
    """Like the real clips of the toy study."""
    mel = rng.normal(-60, 5, (frames, 8)).clip(-80, 0)
    mel[:, 2 * EMOTIONS.index(emotion) : 2 * EMOTIONS.index(emotion) + 2] += 30
    return mel


def noise(rng, emotion):
    return rng.normal(-50, 15, (16, 8)).clip(-80, 0)


def write(folds, draw, count=12):
    """A pack of `count` synthetic clips an emotion and fold, each drawn by `draw(rng, emotion)`."""
    rng = np.random.default_rng(9)
    mel_store.write(
        FOLDER,
        (
            (
                {
                    "clip": f"dream/{fold.name}/{emotion}-{take:04}",
                    "repeat": fold.repeat,
                    "fold": fold.fold,
                    "emotion": emotion,
                    "training": fold.training_digest,
                },
                draw(rng, emotion),
            )
            for fold in folds
            for emotion in EMOTIONS
            for take in range(count)
        ),
    )


@pytest.fixture
def project(toy, monkeypatch):
    """The toy study with a baseline that was trained on each fold; figures from as few as 7 clips."""
    monkeypatch.setattr(params, "read", lambda key, kind: params.check(SETTINGS[key], kind, key))
    monkeypatch.setattr(sample_quality, "LEAST", 7)
    tensors, units = {}, {}
    for fold in toy.folds:
        clips = toy.clips(fold.train, "cpu")
        net, normalise = build_classifier(CLASSIFIER, 8, 3, seed=0), clips.normaliser()
        loop.fit(
            net,
            normalise,
            loop.Sources(clips),
            toy.clips(fold.validation, "cpu"),
            16,
            TRAINING,
            MASKING,
            0,
            lambda figures: None,
        )
        tensors |= {f"{fold.name}/{name}": value for name, value in (net.state_dict() | normalise.tensors()).items()}
        units[fold.name] = {"training": fold.training_digest}
    checkpoints.save("models/arms/baseline", tensors, {"units": units})
    return toy


def material(study, number=0):
    return sample_quality.material(study.folds[number], study, FOLDER, CLASSIFIER, "fp32", 0, "cpu")


def teach(study, found):
    fold = study.folds[0]
    return sample_quality.teach(fold, found, study.clips(fold.validation, "cpu"), 3, CLASSIFIER, TRAINING, MASKING, 0)


def figures(study, draw):
    write(study.folds, draw)
    found = material(study)
    near = sample_quality.near(study.folds[0], found, 16, 0)
    return sample_quality.figures(study.folds[0], found, teach(study, found), near, EMOTIONS)


def test_equal_numbers_of_every_emotion():
    def labelled(*counts):
        emotion = torch.cat([torch.full((count,), number) for number, count in enumerate(counts)]).flip(0)
        return Clips(torch.zeros(1, 8), emotion, emotion, emotion)

    clips = {"one": labelled(5, 3, 4, 0), "other": labelled(2, 9, 4, 3)}
    for kind, which in sample_quality.equal_numbers(clips, 4, seed=0).items():
        assert clips[kind].emotion[which].tolist() == [0] * 2 + [1] * 3 + [2] * 4
        assert len(which.unique()) == 9
    other = sample_quality.equal_numbers(clips, 4, seed=1)["other"]
    assert not torch.equal(other, sample_quality.equal_numbers(clips, 4, seed=0)["other"])


def test_good_clips_are_near_recognised_and_teach_and_noise_is_not(project):
    good, bad = figures(project, spectrum), figures(project, noise)
    assert good["reference"] == bad["reference"]
    for key in ("frechet", "kernel"):
        assert good["synthetic"][key] < 0.5 * bad["synthetic"][key]
    assert good["synthetic"]["coverage"] > bad["synthetic"]["coverage"]
    assert good["synthetic"]["recognised"] > 0.9 and bad["synthetic"]["recognised"] < 0.6
    assert good["synthetic"]["trained"] > 0.9 and bad["synthetic"]["trained"] < 0.6
    assert good["reference"]["trained"] > 0.9 and good["reference"]["recognised"] > 0.9


def test_copies_of_training_clips_are_found(project, mels):
    def copy(rng, emotion):
        return mels[rng.choice([clip for clip in project.folds[0].train if project.emotion[clip] == emotion])]

    copied, honest = figures(project, copy)["synthetic"], figures(project, spectrum)["synthetic"]
    assert copied["copied"] > 0.8 and copied["ratio"] < 0.5
    assert honest["copied"] < 0.2 and honest["ratio"] > 0.8


def test_held_out_clips_are_not_learnt_from_and_choose_no_epoch(project, monkeypatch):
    write(project.folds, spectrum)
    fold, taught = project.folds[0], []

    def fit(net, normalise, sources, validation, *_, **__):
        taught.append(sources.clips().frames)
        assert torch.equal(normalise.mean, project.clips(fold.train, "cpu").normaliser().mean)
        assert torch.equal(validation.frames, project.clips(fold.validation, "cpu").frames)

    monkeypatch.setattr(loop, "fit", fit)
    found = material(project)
    teach(project, found)
    assert [
        any(each is frames.frames for frames in (found.clips["synthetic"], found.clips["training"])) for each in taught
    ] == [True, True]
    assert found.names["held-out"] == fold.test


def test_each_emotion_has_figures_of_its_own(toy):
    """Three emotions of 30 clips: of the first, synthetic clips lie elsewhere and are not recognised."""
    draws, emotion = torch.Generator().manual_seed(0), torch.arange(3).repeat_interleave(30)
    embeddings = {kind: torch.randn(90, 4, generator=draws) for kind in sample_quality.KINDS}
    embeddings["synthetic"][:30] += 9
    predicted = {kind: emotion.clone() for kind in sample_quality.KINDS}
    predicted["synthetic"][:30] = 1
    every = torch.arange(90)
    clips = Clips(torch.zeros(1, 8), every, every, emotion)
    found = sample_quality.Material(
        names=None,
        clips=dict.fromkeys(sample_quality.KINDS, clips),
        embeddings=embeddings,
        predicted=predicted,
        chosen=dict.fromkeys(sample_quality.KINDS, every),
        emotion=emotion,
        normalise=None,
    )
    near = dict.fromkeys(("held-out", "synthetic"), torch.rand(90, 2, generator=draws).sort().values)
    taught = {"synthetic": torch.tensor([0.1, 0.5, 0.9]), "training": torch.tensor([1.0, 1.0, 1.0])}
    result = sample_quality.figures(toy.folds[0], found, taught, near, EMOTIONS)
    assert result["clips"] == 90
    assert result["synthetic"]["recognised"] == pytest.approx(2 / 3)
    assert result["synthetic"]["trained"] == pytest.approx(0.5)
    first, *others = result["emotions"]
    assert first["emotion"] == "anger" and first["clips"] == 30
    assert first["synthetic"]["coverage"] == 0 and first["synthetic"]["kernel"] > 5
    assert first["synthetic"]["recognised"] == 0 and first["reference"]["recognised"] == 1
    for row in others:
        assert row["synthetic"]["coverage"] > 0.8 and abs(row["synthetic"]["kernel"]) < 0.5
        assert row["synthetic"]["recognised"] == 1
    assert others[1]["synthetic"]["trained"] == pytest.approx(0.9)


def test_few_clips_give_no_figure_of_an_emotion(project, monkeypatch):
    monkeypatch.setattr(sample_quality, "LEAST", 8)
    result = figures(project, spectrum)
    assert result["clips"] == 12
    assert {None} == {value for row in result["emotions"] for value in row["synthetic"].values()}
    assert None not in result["synthetic"].values()
    monkeypatch.setattr(sample_quality, "LEAST", 13)
    result = figures(project, spectrum)
    assert {key for key, value in result["synthetic"].items() if value is None} == {
        "frechet",
        "kernel",
        "precision",
        "recall",
        "density",
        "coverage",
    }


def test_a_mean_over_folds_leaves_out_what_a_fold_does_not_have():
    def fold(number, value):
        side = {"kernel": value, "recall": 0.5}
        row = {"emotion": "anger", "clips": 4, "synthetic": {"kernel": None}, "reference": {"kernel": value}}
        return {"repeat": 0, "fold": number, "clips": 9, "synthetic": side, "reference": side, "emotions": [row]}

    summary = sample_quality.summary([fold(0, 1.0), fold(1, None), fold(2, 2.0000004)])
    assert summary["synthetic"] == {"kernel": 1.5, "recall": 0.5}
    assert summary["emotions"] == [
        {"emotion": "anger", "clips": 12, "synthetic": {"kernel": None}, "reference": {"kernel": 1.5}}
    ]
    assert [each["reference"]["kernel"] for each in summary["folds"]] == [1, None, 2]


def test_clips_of_another_fold_are_refused(project):
    write([project.folds[1]], spectrum)
    index = pd.read_csv(FOLDER / "index.csv").assign(fold=0)
    index.to_csv(FOLDER / "index.csv", index=False)
    with pytest.raises(InputError, match="synthetic clip was not made from the training part of repeat 0 fold 0"):
        material(project)


def test_the_stage_writes_the_same_bytes_again(project):
    write(project.folds, spectrum)

    def run():
        assess.main("dream")
        return [
            Path(path).read_bytes()
            for path in ("metrics/quality/dream.json", "plots/embeddings/dream.csv", "plots/embeddings/dream.png")
        ]

    first = run()
    assert run() == first
    result = json.loads(first[0])
    assert [fold["fold"] for fold in result["folds"]] == [0, 1, 2, 3]
    assert result["synthetic"]["trained"] == pytest.approx(
        np.mean([fold["synthetic"]["trained"] for fold in result["folds"]]), abs=1e-6
    )
    points = pd.read_csv("plots/embeddings/dream.csv", keep_default_na=False)
    assert points.columns.tolist() == ["kind", "clip", "emotion", "speaker", "pca_1", "pca_2", "tsne_1", "tsne_2"]
    assert points.groupby("kind").size().to_dict() == {"training": 12, "held-out": 12, "synthetic": 12}
    fold, kinds = project.folds[0], dict(zip(points["clip"], points["kind"]))
    assert {kinds[clip] for clip in fold.test} == {"held-out"}
    assert (points["speaker"] == "").equals(points["kind"] == "synthetic")
