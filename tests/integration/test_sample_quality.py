"""The quality of synthetic clips of a fold, on toy clips that are good, noise or copies."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ser.core import checkpoints, fold_jobs, params
from ser.core.errors import InputError
from ser.core.optim import ignore
from ser.core.rng import make_rng
from ser.data import mel_store
from ser.data.clips import Clips, Normaliser
from ser.evaluation import sample_quality
from ser.models.classifier import ClassifierConfig, build_classifier
from ser.training import loop
from ser.training.augmentation import AugmentationConfig
from stages import sample_quality as sample_quality_stage
from tests.helpers.constants import EMOTIONS

CPU = torch.device("cpu")
FOLDER = Path("data/synthetic/dream")
CLASSIFIER = ClassifierConfig(arch="cnn", pretrained="none", frames=16, resize=None, dropout=0.0)
TRAINING = loop.TrainingConfig(
    epochs=8,
    ema=0.0,
    mixup=0.0,
    batch=8,
    optimiser="adamw",
    learning_rate=0.003,
    weight_decay=0.01,
    label_smoothing=0.0,
    precision="fp32",
)
OFF = AugmentationConfig(probability=0.0)
PARAMS = {
    "emotions": EMOTIONS,
    "split.protocol": "speaker",
    "seed": 0,
    "training.precision": "fp32",
    "classifier": CLASSIFIER.model_dump(),
    "sample_quality.classifier": CLASSIFIER.model_dump(),
    "sample_quality.training": TRAINING.model_dump(),
    "augmentation.baseline": OFF.model_dump(),
}


def spectrum(rng, emotion, frames=16):
    """A mel [8 bands, frames] like those of the toy project."""
    mel = rng.normal(-60, 5, (frames, 8)).clip(-80, 0).T
    mel[2 * EMOTIONS.index(emotion) : 2 * EMOTIONS.index(emotion) + 2] += 30
    return mel


def noise(rng, emotion):
    return rng.normal(-50, 15, (16, 8)).clip(-80, 0).T


def write(folds, draw, count=12):
    """A store of `count` synthetic clips per emotion and fold, each drawn by `draw(rng, emotion)`."""
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
                    "train_digest": fold.train_digest,
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
    """The toy project with a baseline that was trained on each fold; metrics from as few as 7 clips."""
    monkeypatch.setattr(params, "read", lambda key, kind: params.check(PARAMS[key], kind, key))
    monkeypatch.setattr(sample_quality, "LEAST", 7)
    tensors, folds = {}, {}
    for fold in toy.folds:
        clips = toy.clips(fold.train, CPU)
        model = build_classifier(CLASSIFIER, clips.normaliser(), 3, seed=0)
        loop.train(model, loop.Sources(clips), None, 16, TRAINING, OFF, 0, ignore)
        tensors |= {f"{fold.name}-0/{name}": value for name, value in model.state_dict().items()}
        folds[f"{fold.name}-0"] = {"train_digest": fold.train_digest}
    checkpoints.save("models/arms/baseline", tensors, {"folds": folds})
    return toy


def compare_clips(dataset):
    return sample_quality.compare_clips(dataset.folds[0], dataset, FOLDER, CLASSIFIER, "fp32", 0, CPU)


def train_on_synthetic(comparison):
    return sample_quality.train_on_synthetic(comparison, 3, CLASSIFIER, TRAINING, OFF, 0)


def fold_metrics(dataset, draw):
    write(dataset.folds, draw)
    comparison = compare_clips(dataset)
    recalls = train_on_synthetic(comparison)
    distances = sample_quality.nearest_neighbour_distances(comparison, 16, 0)
    return sample_quality.fold_metrics(comparison, recalls, distances, EMOTIONS)


def test_equal_numbers_of_every_emotion():
    def labelled(*counts):
        labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)]).flip(0)
        return Clips(torch.zeros(1, 8), labels, labels, labels)

    clips = {"one": labelled(5, 3, 4, 0), "other": labelled(2, 9, 4, 3)}
    for kind, clip_index in sample_quality.equal_numbers(clips, 4, seed=0).items():
        assert clips[kind].labels[clip_index].tolist() == [0] * 2 + [1] * 3 + [2] * 4
        assert len(clip_index.unique()) == 9
    other = sample_quality.equal_numbers(clips, 4, seed=1)["other"]
    assert not torch.equal(other, sample_quality.equal_numbers(clips, 4, seed=0)["other"])


def test_good_clips_are_near_recognised_and_fit_to_train_on_and_noise_is_not(project):
    good, bad = fold_metrics(project, spectrum), fold_metrics(project, noise)
    assert good["reference"] == bad["reference"]
    for key in ("frechet", "kernel"):
        assert good["synthetic"][key] < 0.5 * bad["synthetic"][key]
    assert good["synthetic"]["coverage"] > bad["synthetic"]["coverage"]
    assert good["synthetic"]["recognised"] > 0.9 and bad["synthetic"]["recognised"] < 0.6
    assert good["synthetic"]["trained"] > 0.9 and bad["synthetic"]["trained"] < 0.6
    assert good["reference"]["trained"] > 0.9 and good["reference"]["recognised"] > 0.9


def test_copies_of_training_clips_are_found(project, mels):
    def copy(rng, emotion):
        return mels[rng.choice([clip for clip in project.folds[0].train if project.emotion_of[clip] == emotion])]

    copied, honest = fold_metrics(project, copy)["synthetic"], fold_metrics(project, spectrum)["synthetic"]
    assert copied["copied"] > 0.8 and copied["ratio"] < 0.5
    assert honest["copied"] < 0.2 and honest["ratio"] > 0.8


def test_only_synthetic_and_training_clips_take_part_in_the_training(project, monkeypatch):
    write(project.folds, spectrum)
    fold, trained_on = project.folds[0], []

    def train(model, sources, validation, *_, **__):
        trained_on.append(sources.clips().frames)
        assert torch.equal(model.normaliser.mean, project.clips(fold.train, CPU).normaliser().mean)
        assert validation is None

    monkeypatch.setattr(loop, "train", train)
    comparison = compare_clips(project)
    train_on_synthetic(comparison)
    allowed = [comparison.clips[kind].frames for kind in ("synthetic", "training")]
    assert [any(frames is each for each in allowed) for frames in trained_on] == [True, True]
    assert comparison.names["held-out"] == fold.test


def test_each_emotion_has_metrics_of_its_own(toy):
    """Three emotions of 30 clips: of the first, synthetic clips lie elsewhere and are not recognised."""
    rng, labels = make_rng(0), torch.arange(3).repeat_interleave(30)
    embeddings = {kind: torch.randn(90, 4, generator=rng) for kind in sample_quality.KINDS}
    embeddings["synthetic"][:30] += 9
    predicted = {kind: labels.clone() for kind in sample_quality.KINDS}
    predicted["synthetic"][:30] = 1
    all_clips = torch.arange(90)
    clips = Clips(torch.zeros(1, 8), all_clips, all_clips, labels)
    comparison = sample_quality.Comparison(
        fold=toy.folds[0],
        names={},
        clips=dict.fromkeys(sample_quality.KINDS, clips),
        embeddings=embeddings,
        predicted=predicted,
        balanced=dict.fromkeys(sample_quality.KINDS, all_clips),
        labels=labels,
        normaliser=Normaliser.blank(8),
    )
    distances = dict.fromkeys(("held-out", "synthetic"), torch.rand(90, 2, generator=rng).sort().values)
    recalls = {"synthetic": torch.tensor([0.1, 0.5, 0.9]), "training": torch.tensor([1.0, 1.0, 1.0])}
    result = sample_quality.fold_metrics(comparison, recalls, distances, EMOTIONS)
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


def test_few_clips_give_no_metrics_of_an_emotion(project, monkeypatch):
    monkeypatch.setattr(sample_quality, "LEAST", 8)
    result = fold_metrics(project, spectrum)
    assert result["clips"] == 12
    assert {None} == {value for row in result["emotions"] for value in row["synthetic"].values()}
    assert None not in result["synthetic"].values()
    monkeypatch.setattr(sample_quality, "LEAST", 13)
    result = fold_metrics(project, spectrum)
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

    summary = sample_quality.summarise([fold(0, 1.0), fold(1, None), fold(2, 2.0000004)])
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
        compare_clips(project)


def test_the_stage_writes_the_same_bytes_again(project):
    write(project.folds, spectrum)

    def run():
        fold_jobs.main(sample_quality_stage.JOB, "dream")
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
