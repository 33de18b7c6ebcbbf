import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ser.core import checkpoints, fold_jobs
from ser.core.errors import InputError
from ser.data import mel_store, synthetic
from ser.data.dataset import Study, load_dataset
from ser.generators import diffusion
from ser.models import baseline
from ser.models.classifier import ClassifierSettings, build_classifier, evaluate
from ser.training import arms, loop
from ser.training.augmentation import Masking
from ser.training.loop import Training
from tests.conftest import EMOTIONS

UNMASKED = Masking(probability=0.0, voice=0.0, tempo=0.0, time=0.1, frequency=0.15, shift=0.1, noise=0.01, scale=0.1)
BASELINE = arms.Arm(masking=UNMASKED, share=0.0)
MASKED = arms.Arm(masking=UNMASKED.model_copy(update={"probability": 0.7}), share=0.0)
GENERATED = arms.Arm(masking=UNMASKED, share=0.3)
CLASSIFIER = ClassifierSettings(arch="resnet18", pretrained="none", frames=16, resize=None, dropout=0.2)
SETTINGS = Training(
    epochs=2,
    ema=0.0,
    mixup=0.0,
    batch=8,
    optimiser="adamw",
    learning_rate=0.01,
    weight_decay=0.05,
    label_smoothing=0.1,
    patience=5,
    precision="fp32",
)
DIFFUSION = diffusion.Fit(
    frames=16,
    patch=4,
    channels=[8, 32],
    updates=50,
    batch=2,
    learning_rate=0.001,
    ema=0.9,
    unconditional=0.1,
    precision="fp32",
)
SYNTHETIC = "data/synthetic/diffusion"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A classifier with a body of one convolution in place of the ResNet."""

    def body(n_mels, frames, pretrained):
        layers = (
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d((8, 1)),
            nn.Flatten(),
        )
        return nn.Sequential(*layers), 32

    monkeypatch.setattr("ser.models.backbones.resnet18.build", body)


def run(name, real, arm=BASELINE, generated=None, seed=0):
    arms.run(name, arm, real, CLASSIFIER, SETTINGS, seed, generated)


def synthesise(folds):
    rng = np.random.default_rng(0)
    mel_store.write(
        SYNTHETIC,
        (
            (
                {
                    "clip": f"diffusion/{fold.name}/{emotion}",
                    "repeat": fold.repeat,
                    "fold": fold.fold,
                    "emotion": emotion,
                    "training": fold.training_digest,
                },
                rng.uniform(-80, 0, (16, 8)),
            )
            for fold in folds
            for emotion in EMOTIONS
        ),
    )


def predictions(name):
    return pd.read_csv(f"metrics/predictions/{name}.csv")


def outputs(name):
    paths = [
        f"models/arms/{name}.safetensors",
        f"models/arms/{name}.json",
        f"metrics/predictions/{name}.csv",
        f"metrics/curves/{name}.csv",
    ]
    return {path: Path(path).read_bytes() for path in paths}


def test_every_clip_is_predicted_once_by_the_fold_that_tests_it(toy):
    run("baseline", toy)
    table = predictions("baseline")
    assert list(table.columns) == ["repeat", "fold", "clip", "emotion", "predicted", *EMOTIONS]
    for fold in toy.folds:
        assert list(table["clip"][table.fold == fold.fold]) == fold.test
    assert list(table.emotion) == [toy.emotion[clip] for clip in table["clip"]]
    assert (table[EMOTIONS].sum(axis=1) - 1).abs().max() < 1e-5
    assert list(table.predicted) == list(table[EMOTIONS].idxmax(axis=1))


def test_model_and_curves_of_every_fold_are_kept(toy):
    run("baseline", toy)
    for fold in toy.folds:
        tensors = checkpoints.load("models/arms/baseline", fold)
        facts = json.loads(Path("models/arms/baseline.json").read_text())["units"][fold.name]
        assert facts["training"] == fold.training_digest
        assert 1 <= facts["epoch"] <= SETTINGS.epochs
        normalise = toy.clips(fold.train, "cpu").normaliser()
        assert torch.equal(tensors["mean"], normalise.mean) and torch.equal(tensors["std"], normalise.std)
    curves = pd.read_csv("metrics/curves/baseline.csv")
    expected = {"repeat", "fold", "epoch", "train_loss", "validation_loss", "validation_ua"}
    assert set(curves.columns) == expected
    assert curves[["fold", "epoch"]].values.tolist() == [[fold, epoch] for fold in range(4) for epoch in (1, 2)]
    facts = json.loads(Path("models/arms/baseline.json").read_text())
    assert facts["emotions"] == EMOTIONS
    assert facts["arm"] == BASELINE.model_dump() and facts["classifier"] == CLASSIFIER.model_dump()
    assert not (fold_jobs.ROOT / "baseline").exists()


def test_the_predictions_are_those_of_the_kept_model(toy):
    run("baseline", toy)
    fold = toy.folds[1]
    tensors = checkpoints.load("models/arms/baseline", fold)
    clips = toy.clips(fold.test, "cpu")
    normalise = toy.clips(fold.train, "cpu").normaliser()
    model = build_classifier(CLASSIFIER, 8, 3, seed=9)
    model.load_state_dict({name: tensor for name, tensor in tensors.items() if name not in ("mean", "std")})
    logits = evaluate(model, normalise, clips, CLASSIFIER.frames, SETTINGS.precision)
    table = predictions("baseline")
    np.testing.assert_allclose(table[EMOTIONS][table.fold == 1], logits.softmax(1), atol=1e-5)


def test_the_same_seed_gives_the_same_bytes(toy):
    run("baseline", toy)
    first = outputs("baseline")
    run("baseline", toy)
    assert outputs("baseline") == first


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(toy, monkeypatch):
    run("baseline", toy)
    whole, fit, folds = outputs("baseline"), loop.fit, []

    def stopped(*arguments):
        folds.append(1)
        if len(folds) == 3:
            raise KeyboardInterrupt
        return fit(*arguments)

    monkeypatch.setattr(loop, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        run("baseline", toy)
    assert outputs("baseline") == whole
    run("baseline", toy)
    assert len(folds) == 5  # two, one that was stopped, and the two that were left
    assert outputs("baseline") == whole


def test_arms_start_from_the_same_weights_and_statistics(toy, monkeypatch):
    starts = []

    def remember(model, normalise, *_):
        tensors = model.state_dict() | normalise.tensors()
        starts.append({name: tensor.clone() for name, tensor in tensors.items()})
        return 1

    monkeypatch.setattr(loop, "fit", remember)
    synthesise(toy.folds)
    run("baseline", toy)
    run("masked", toy, MASKED)
    run("diffusion", toy, GENERATED, SYNTHETIC)
    baseline, *others = (starts[:4], starts[4:8], starts[8:])
    for other in others:
        for mine, its in zip(baseline, other, strict=True):
            assert all(torch.equal(mine[name], its[name]) for name in mine)
    assert not torch.equal(baseline[0]["head.weight"], baseline[1]["head.weight"])


def test_arms_end_with_other_weights(toy):
    synthesise(toy.folds)
    run("baseline", toy)
    run("masked", toy, MASKED)
    run("diffusion", toy, GENERATED, SYNTHETIC)
    weights = [
        checkpoints.load(f"models/arms/{name}", toy.folds[0])["head.weight"]
        for name in ("baseline", "masked", "diffusion")
    ]
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_synthetic_clips_of_another_split_are_refused(toy):
    first, second, *rest = toy.folds
    synthesise([replace(first, train=second.train), second, *rest])
    with pytest.raises(InputError, match=f"^{SYNTHETIC}: a synthetic clip was not made from the training part"):
        run("diffusion", toy, GENERATED, SYNTHETIC)
    assert not Path("models/arms").exists() and not Path("metrics/predictions").exists()


def test_a_share_of_synthetic_clips_without_a_generator_is_refused(toy):
    with pytest.raises(InputError, match=r"^params.yaml: key `arms.baseline.share` is 0.3 without a generator"):
        run("baseline", toy, GENERATED)


# Leaks


def made_by_first_fold(toy):
    """All that is made for the first fold before its test: normaliser, classifiers, embeddings, generator."""
    first = Study(toy.emotions, toy.emotion, toy.folds[:1])
    fold = first.folds[0]
    synthesise([fold])
    run("baseline", first)
    run("diffusion", first, GENERATED, SYNTHETIC)
    clips = first.clips(fold.train, "cpu")
    features = baseline.standardise(baseline.features(fold, clips, CLASSIFIER, 3, "fp32"))
    made = {
        "features": features,
        "centroids": baseline.centroids(features, clips.emotion, 3),
        **diffusion.fit(clips, clips.normaliser(), features, DIFFUSION, 0, lambda _: None),
    }
    for arm in ("baseline", "diffusion"):
        tensors = checkpoints.load(f"models/arms/{arm}", fold)
        made |= {f"{arm}/{name}": tensor for name, tensor in tensors.items()}
    return {name: tensor.numpy().tobytes() for name, tensor in made.items()}


def change_by_marker(toy, mels, marked):
    """Plant a huge value in some clips; returns what that changes and whether test predictions do."""
    clean, before = made_by_first_fold(toy), predictions("baseline")
    planted = {clip: np.full_like(frames, 5e4) if clip in marked else frames for clip, frames in mels.items()}
    mel_store.write("data/mels", (({"clip": clip}, frames) for clip, frames in planted.items()))
    made, after = made_by_first_fold(load_dataset(EMOTIONS, "speaker")), predictions("baseline")
    return {name for name in clean if clean[name] != made[name]}, not after.equals(before)


def test_a_marker_in_test_clips_changes_their_predictions_and_nothing_else(toy, mels):
    changed, predictions_changed = change_by_marker(toy, mels, toy.folds[0].test)
    assert changed == set()
    assert predictions_changed


def test_a_marker_in_validation_clips_changes_no_statistics(toy, mels):
    changed, _ = change_by_marker(toy, mels, toy.folds[0].validation)
    assert not {"baseline/mean", "baseline/std", "diffusion/mean", "diffusion/std"} & changed


def test_a_marker_in_training_clips_changes_everything(toy, mels):
    changed, _ = change_by_marker(toy, mels, toy.folds[0].train[:1])
    arms = {f"{arm}/{name}" for arm in ("baseline", "diffusion") for name in ("mean", "std", "head.weight")}
    assert changed >= arms | {"features", "centroids", "condition.weight"}


def test_every_fold_is_trained_on_its_own_real_and_synthetic_clips(toy, monkeypatch):
    seen = []

    def remember(model, normalise, sources, validation, *_):
        seen.append((sources.real, validation, sources.synthetic))
        return 1

    monkeypatch.setattr(loop, "fit", remember)
    synthesise(toy.folds)
    run("diffusion", toy, GENERATED, SYNTHETIC)
    for fold, parts in zip(toy.folds, seen, strict=True):
        own = (
            toy.clips(fold.train, "cpu"),
            toy.clips(fold.validation, "cpu"),
            synthetic.clips(SYNTHETIC, fold, EMOTIONS, "cpu"),
        )
        assert all(torch.equal(part.frames, clips.frames) for part, clips in zip(parts, own, strict=True))


@pytest.mark.parametrize("path", ["data/mels/frames.npy", f"{SYNTHETIC}/index.csv"])
def test_a_missing_input_says_what_to_do(toy, path):
    synthesise(toy.folds)
    Path(path).unlink()
    with pytest.raises(InputError, match=f"^{path} is missing; run `dvc repro`"):
        run("diffusion", toy, GENERATED, SYNTHETIC)
