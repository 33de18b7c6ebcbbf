import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.metrics import balanced_accuracy_score
from torch import nn

from ser.core import checkpoints, fold_jobs
from ser.core.errors import InputError
from ser.core.fold import Run
from ser.core.optim import ignore
from ser.data import mel_store, splits, synthetic
from ser.data.clips import Normaliser
from ser.data.dataset import load_dataset
from ser.generators import autoencoder
from ser.generators.autoencoder import AutoencoderConfig
from ser.generators.base import TrainingPart
from ser.generators.flow import FlowConfig
from ser.generators.latent_diffusion import LatentDiffusion
from ser.models import baseline
from ser.models.classifier import ClassifierConfig, build_classifier, evaluate
from ser.training import loop
from ser.training.arms import ArmTrainingConfig, TrainRealArm, TrainSyntheticArm
from ser.training.augmentation import AugmentationConfig
from tests.helpers.constants import EMOTIONS

CLASSIFIER = ClassifierConfig(arch="resnet18", pretrained="none", frames=16, resize=None, dropout=0.2)
TRAINING = ArmTrainingConfig(
    runs=1,
    epochs=2,
    ema=0.0,
    mixup=0.0,
    batch=8,
    optimiser="adamw",
    learning_rate=0.01,
    weight_decay=0.05,
    label_smoothing=0.1,
    precision="fp32",
)
PARAMS = {
    "seed": 0,
    "emotions": EMOTIONS,
    "split": {"protocol": "speaker"},
    "study": {"build_on": "augmented"},
    "classifier": CLASSIFIER.model_dump(),
    "training": TRAINING.model_dump(),
    "augmentation": {
        "baseline": {"probability": 0.0},
        "masked": {
            "probability": 0.7,
            "time_mask": 0.1,
            "frequency_mask": 0.15,
            "shift": 0.1,
            "noise": 0.01,
            "scale": 0.1,
        },
        "augmented": {"vtlp": 0.15, "time_stretch": 0.15},
    },
    "arms": {"diffusion": {"share": 0.3}},
}
AUTOENCODER = AutoencoderConfig(
    frames=16,
    channels=8,
    latents=4,
    stretch=0.1,
    updates=50,
    batch=2,
    learning_rate=0.001,
    ema=0.9,
    kl=0.001,
    precision="fp32",
)
DIFFUSION = FlowConfig(
    frames=16,
    width=8,
    layers=1,
    heads=1,
    copies=2,
    stretch=0.1,
    updates=50,
    batch=2,
    learning_rate=0.001,
    ema=0.9,
    unconditional=0.1,
    precision="fp32",
)
SYNTHETIC = "data/synthetic/diffusion"
ARMS = ("baseline", "masked", "augmented", "diffusion")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A backbone of one convolution in place of the ResNet."""

    def build(n_mels, frames, pretrained):
        layers = (
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d((8, 1)),
            nn.Flatten(),
        )
        return nn.Sequential(*layers), 32

    monkeypatch.setattr("ser.models.backbones.resnet18.build", build)


@pytest.fixture
def dataset(toy):
    """The Dataset of `toy`, with a params.yaml next to it."""
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS))
    return toy


def run(arm, dataset=None):
    """Train an arm on the dataset in the working folder, or on another one."""
    job = TrainSyntheticArm(arm) if arm in PARAMS["arms"] else TrainRealArm(arm)
    if dataset:
        job.dataset = dataset
    fold_jobs.run(job)


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
                    "train_digest": fold.train_digest,
                },
                rng.uniform(-80, 0, (8, 16)),
            )
            for fold in folds
            for emotion in EMOTIONS
        ),
    )


def predictions(arm):
    return pd.read_csv(f"metrics/predictions/{arm}.csv")


def facts(arm):
    return json.loads(Path(f"models/arms/{arm}.json").read_text())


def outputs(arm):
    paths = [
        f"models/arms/{arm}.safetensors",
        f"models/arms/{arm}.json",
        f"metrics/predictions/{arm}.csv",
        f"metrics/curves/{arm}.csv",
        f"data/validation/{arm}.csv",
    ]
    return {path: Path(path).read_bytes() for path in paths}


def test_every_clip_is_predicted_once_by_the_fold_that_tests_it(dataset):
    run("baseline")
    table = predictions("baseline")
    assert list(table.columns) == ["repeat", "fold", "run", "clip", "emotion", "predicted", *EMOTIONS]
    for fold in dataset.folds:
        assert list(table["clip"][table.fold == fold.fold]) == fold.test
    assert list(table.emotion) == [dataset.emotion_of[clip] for clip in table["clip"]]
    assert (table[EMOTIONS].sum(axis=1) - 1).abs().max() < 1e-5
    assert list(table.predicted) == list(table[EMOTIONS].idxmax(axis=1))


def test_model_and_curves_of_every_fold_are_kept(dataset):
    run("baseline")
    for fold in dataset.folds:
        tensors = checkpoints.load("models/arms/baseline", Run.of(fold, 0))
        assert facts("baseline")["folds"][f"{fold.name}-0"] == {"train_digest": fold.train_digest}
        normaliser = dataset.clips(fold.train, "cpu").normaliser()
        assert torch.equal(tensors["normaliser.mean"], normaliser.mean)
        assert torch.equal(tensors["normaliser.std"], normaliser.std)
    curves = pd.read_csv("metrics/curves/baseline.csv")
    expected = {"repeat", "fold", "run", "epoch", "train_loss", "validation_loss", "validation_ua"}
    assert set(curves.columns) == expected
    assert curves[["fold", "epoch"]].values.tolist() == [[fold, epoch] for fold in range(4) for epoch in (1, 2)]
    assert not (fold_jobs.ROOT / "baseline").exists()


@pytest.mark.parametrize(
    ("arm", "policy", "share"),
    [
        ("baseline", "baseline", 0.0),
        ("masked", "masked", 0.0),
        ("augmented", "augmented", 0.0),
        ("diffusion", "augmented", 0.3),
    ],
)
def test_the_model_says_what_the_arm_consists_of(dataset, monkeypatch, arm, policy, share):
    """A real arm has the augmentation of its name, the arm of a generator that of `study.build_on`."""
    trainings = []

    def remember(model, sources, validation, frames, config, augmentation, seed, log):
        trainings.append((sources.share, augmentation, config, frames))

    monkeypatch.setattr(loop, "train", remember)
    synthesise(dataset.folds)
    run(arm)
    augmentation = AugmentationConfig(**PARAMS["augmentation"][policy])
    assert trainings == [(share, augmentation, TRAINING, CLASSIFIER.frames)] * 4
    assert facts(arm).keys() == {"emotions", "classifier", "augmentation", "share", "folds"}
    assert facts(arm)["emotions"] == EMOTIONS
    assert facts(arm)["classifier"] == CLASSIFIER.model_dump()
    assert facts(arm)["augmentation"] == augmentation.model_dump()
    assert facts(arm)["share"] == share


def test_an_arm_without_a_policy_is_refused(dataset):
    with pytest.raises(InputError, match=r"^params.yaml: key `augmentation.stretched` is missing"):
        run("stretched")


def test_the_predictions_are_those_of_the_kept_model(dataset):
    run("baseline")
    fold = dataset.folds[1]
    model = build_classifier(CLASSIFIER, Normaliser.blank(8), 3, seed=9)
    model.load_state_dict(checkpoints.load("models/arms/baseline", Run.of(fold, 0)))
    logits = evaluate(model, dataset.clips(fold.test, "cpu"), CLASSIFIER.frames, TRAINING.precision)
    table = predictions("baseline")
    np.testing.assert_allclose(table[EMOTIONS][table.fold == 1], logits.softmax(1), atol=1e-5)


def test_runs_differ_and_more_of_them_leave_the_first_ones_as_they_were(dataset):
    run("baseline")
    one = predictions("baseline")
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS | {"training": PARAMS["training"] | {"runs": 3}}))
    run("baseline")
    three = predictions("baseline")
    assert set(three["run"]) == {0, 1, 2} and len(three) == 3 * len(one)
    pd.testing.assert_frame_equal(three[three["run"] == 0].reset_index(drop=True), one)
    runs = [checkpoints.load("models/arms/baseline", Run.of(dataset.folds[0], number)) for number in range(3)]
    assert len({each["head.weight"].numpy().tobytes() for each in runs}) == 3
    assert all(torch.equal(each["normaliser.mean"], runs[0]["normaliser.mean"]) for each in runs)


def test_predictions_for_validation_clips_are_kept_too(dataset):
    run("baseline")
    table = pd.read_csv("data/validation/baseline.csv")
    for fold in dataset.folds:
        own = table[table.fold == fold.fold]
        assert list(own["clip"]) == fold.validation
        curve = pd.read_csv("metrics/curves/baseline.csv").query(f"fold == {fold.fold}")["validation_ua"]
        assert balanced_accuracy_score(own["emotion"], own["predicted"]) == pytest.approx(curve.iloc[-1], abs=1e-6)


def test_a_split_without_validation_leaves_no_predictions_and_no_curves_of_it(dataset, table):
    config = splits.SplitConfig(protocol="speaker", folds=4, repeats=1, validation=0.0, training=1.0, seed=0)
    splits.make(table, config).to_csv("data/splits.csv", index=False)
    run("baseline")
    header = ",".join(predictions("baseline").columns)
    assert Path("data/validation/baseline.csv").read_text() == f"{header}\n"
    assert list(pd.read_csv("metrics/curves/baseline.csv")) == ["repeat", "fold", "run", "epoch", "train_loss"]
    assert sorted(predictions("baseline")["clip"]) == list(table["clip"])


def test_the_same_seed_gives_the_same_bytes(dataset):
    run("baseline")
    first = outputs("baseline")
    run("baseline")
    assert outputs("baseline") == first


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(dataset, monkeypatch):
    run("baseline")
    complete, train, folds = outputs("baseline"), loop.train, []

    def stopped(*arguments):
        folds.append(1)
        if len(folds) == 3:
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr(loop, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        run("baseline")
    assert outputs("baseline") == complete
    run("baseline")
    assert len(folds) == 5  # two, one that was stopped, and the two that were left
    assert outputs("baseline") == complete


def test_arms_start_from_the_same_weights_and_statistics(dataset, monkeypatch):
    starts = []

    def remember(model, *_):
        starts.append({name: tensor.clone() for name, tensor in model.state_dict().items()})

    monkeypatch.setattr(loop, "train", remember)
    synthesise(dataset.folds)
    for arm in ARMS:
        run(arm)
    baseline, *others = (starts[4 * number : 4 * (number + 1)] for number in range(len(ARMS)))
    assert {"head.weight", "normaliser.mean", "normaliser.std"} < baseline[0].keys()
    for other in others:
        for one, another in zip(baseline, other, strict=True):
            assert all(torch.equal(one[name], another[name]) for name in one)
    assert not torch.equal(baseline[0]["head.weight"], baseline[1]["head.weight"])


def test_arms_end_with_other_weights(dataset):
    synthesise(dataset.folds)
    for arm in ARMS:
        run(arm)
    first = Run.of(dataset.folds[0], 0)
    weights = [checkpoints.load(f"models/arms/{arm}", first)["head.weight"] for arm in ARMS]
    assert len({weight.numpy().tobytes() for weight in weights}) == len(ARMS)


def test_synthetic_clips_of_another_split_are_refused(dataset):
    first, second, *rest = dataset.folds
    synthesise([replace(first, train=second.train), second, *rest])
    with pytest.raises(InputError, match=f"^{SYNTHETIC}: a synthetic clip was not made from the training part"):
        run("diffusion")
    assert not Path("models/arms").exists() and not Path("metrics/predictions").exists()


# Leaks

STATISTICS = {
    f"{model}/normaliser.{name}" for model in ("baseline", "diffusion", "generator") for name in ("mean", "std")
}


def results_of_first_fold(dataset):
    """What is made for the first fold: classifiers, embeddings, generator, and the predictions of the baseline.

    As bytes; the predictions are named after the clips that they are for.
    """
    first = replace(dataset, folds=dataset.folds[:1])
    fold = first.folds[0]
    synthesise([fold])
    run("baseline", first)
    run("diffusion", first)
    clips = first.clips(fold.train, "cpu")
    embeddings = baseline.embeddings(baseline.load(fold, CLASSIFIER, 3, "cpu"), clips, CLASSIFIER, "fp32")
    encoder = autoencoder.fit(clips, AUTOENCODER, 0, ignore)
    part = TrainingPart(clips, clips.normaliser(), first.factors(fold.train), embeddings, encoder)
    generator = LatentDiffusion.fit(part, DIFFUSION, 0, ignore)
    results = {"embeddings": embeddings, "centroids": baseline.centroids(embeddings, clips.labels, 3)}
    results |= {f"generator/{name}": tensor for name, tensor in generator.state_dict().items()}
    for arm in ("baseline", "diffusion"):
        tensors = checkpoints.load(f"models/arms/{arm}", Run.of(fold, 0))
        results |= {f"{arm}/{name}": tensor for name, tensor in tensors.items()}
    assert results.keys() > STATISTICS
    predicted = {"test": "metrics/predictions/baseline.csv", "validation": "data/validation/baseline.csv"}
    return {name: tensor.numpy().tobytes() for name, tensor in results.items()} | {
        role: Path(path).read_bytes() for role, path in predicted.items()
    }


def change_by_marker(dataset, mels, marked):
    """Plant a huge value in the clips `marked`; return which results that changes."""
    clean = results_of_first_fold(dataset)
    planted = {clip: np.full_like(mel, 5e4) if clip in marked else mel for clip, mel in mels.items()}
    mel_store.write("data/mels", (({"clip": clip}, mel) for clip, mel in planted.items()))
    changed = results_of_first_fold(load_dataset(EMOTIONS, "speaker"))
    return {name for name in clean if clean[name] != changed[name]}


@pytest.mark.parametrize("role", ["test", "validation"])
def test_a_marker_in_clips_that_are_not_trained_on_changes_their_predictions_and_nothing_else(dataset, mels, role):
    assert change_by_marker(dataset, mels, getattr(dataset.folds[0], role)) == {role}


def test_a_marker_in_training_clips_changes_everything(dataset, mels):
    changed = change_by_marker(dataset, mels, dataset.folds[0].train[:1])
    weights = {"baseline/head.weight", "diffusion/head.weight", "generator/flow.tokens_in.weight"}
    weights |= {"generator/autoencoder.encoder.0.weight", "generator/token_mean"}
    assert changed >= STATISTICS | weights | {"embeddings", "centroids"}


def test_every_fold_is_trained_on_its_own_real_and_synthetic_clips(dataset, monkeypatch):
    seen = []

    def remember(model, sources, validation, *_):
        seen.append((sources.real, validation, sources.synthetic))

    monkeypatch.setattr(loop, "train", remember)
    synthesise(dataset.folds)
    run("diffusion")
    for fold, clips in zip(dataset.folds, seen, strict=True):
        own = (
            dataset.clips(fold.train, "cpu"),
            dataset.clips(fold.validation, "cpu"),
            synthetic.clips(SYNTHETIC, fold, EMOTIONS, "cpu"),
        )
        assert all(torch.equal(one.frames, another.frames) for one, another in zip(clips, own, strict=True))


@pytest.mark.parametrize("path", ["data/mels/frames.npy", f"{SYNTHETIC}/index.csv"])
def test_a_missing_input_says_what_to_do(dataset, path):
    synthesise(dataset.folds)
    Path(path).unlink()
    with pytest.raises(InputError, match=f"^{path} is missing; run `dvc repro`"):
        run("diffusion")
