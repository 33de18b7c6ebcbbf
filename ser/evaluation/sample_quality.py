"""The synthetic clips of a fold compared with real ones, as the fold's own baseline embeds them.

Every metric has a reference, the value that perfect clips would have:

- distances, precision, recall, density, coverage and training: training clips in place of the synthetic ones;
- recognition and near-copies: the held-out clips themselves.

Held-out clips are the test clips of the fold; they choose, normalise and train nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ser.core.device import Precision
from ser.core.fold import Fold
from ser.core.optim import ignore
from ser.core.rng import Stream, derive_seed, make_rng
from ser.data import synthetic
from ser.data.clips import Clips, Normaliser
from ser.data.dataset import Dataset
from ser.evaluation import sample_metrics
from ser.models import baseline
from ser.models.classifier import ClassifierConfig, build_classifier, evaluate
from ser.training import loop
from ser.training.augmentation import AugmentationConfig
from ser.training.loop import TrainingConfig

LEAST = 20  # clips to compare; no metric is taken from fewer
POINTS = 300  # clips of each kind among the points
KINDS = ("training", "held-out", "synthetic")


@dataclass(frozen=True)
class Comparison:
    """Training, held-out and synthetic clips of one fold; each dict has a value for every one of KINDS."""

    fold: Fold
    names: dict[str, list[str]]  # of the clips
    clips: dict[str, Clips]
    embeddings: dict[str, Tensor]  # [clips, width], scaled: training clips have a mean variance of 1
    predicted: dict[str, Tensor]  # [clips], labels that the baseline recognises
    balanced: dict[str, Tensor]  # clip numbers: equal numbers of every class, in order of classes
    labels: Tensor  # of the balanced clips, the same for every kind
    normaliser: Normaliser


def compare_clips(
    fold: Fold,
    dataset: Dataset,
    generated: str,  # folder of the synthetic clips
    classifier: ClassifierConfig,  # of the baseline
    precision: Precision,
    seed: int,
    device: torch.device,
) -> Comparison:
    """The clips of a fold and what its baseline makes of them.

    Refuses a baseline or synthetic clips that were made from other training clips.
    """
    n_classes = len(dataset.class_names)
    names = {
        "training": fold.train,
        "held-out": fold.test,
        "synthetic": list(synthetic.index(generated, fold)["clip"]),
    }
    clips = {kind: dataset.clips(names[kind], device) for kind in ("training", "held-out")}
    clips["synthetic"] = synthetic.clips(generated, fold, dataset.class_names, device)
    model = baseline.load(fold, classifier, n_classes, device)
    embeddings = {kind: evaluate(model, part, classifier.frames, precision, embed=True) for kind, part in clips.items()}
    head = model.head.cpu()
    with torch.inference_mode():
        predicted = {kind: head(part).argmax(1) for kind, part in embeddings.items()}
    unit = embeddings["training"].var(0).mean().sqrt().clamp(min=1e-6)
    embeddings = {kind: part / unit for kind, part in embeddings.items()}
    balanced = equal_numbers(clips, n_classes, derive_seed(seed, Stream.QUALITY_CLIPS, fold))
    labels = clips["held-out"].labels.cpu()[balanced["held-out"]]
    return Comparison(fold, names, clips, embeddings, predicted, balanced, labels, model.normaliser)


def equal_numbers(clips: Mapping[str, Clips], n_classes: int, seed: int) -> dict[str, Tensor]:
    """As many clips of each class from every value of `clips`, drawn at random: clip numbers, in order of classes."""
    labels_of = {kind: part.labels.cpu() for kind, part in clips.items()}
    counts = torch.stack([labels.bincount(minlength=n_classes) for labels in labels_of.values()]).amin(0)

    def draw(labels: Tensor) -> Tensor:
        order = torch.randperm(len(labels), generator=make_rng(seed))
        return torch.cat([order[labels[order] == label][:count] for label, count in enumerate(counts)])

    return {kind: draw(labels) for kind, labels in labels_of.items()}


def train_on_synthetic(
    comparison: Comparison,
    n_classes: int,
    classifier: ClassifierConfig,
    training: TrainingConfig,
    augmentation: AugmentationConfig,
    seed: int,
) -> dict[str, Tensor]:
    """Recall of each class `[classes]` on held-out clips of a classifier trained on synthetic clips alone.

    The value of "synthetic" is that recall; that of "training" is the same for training clips alone (Ravuri & Vinyals
    2019, arXiv 1905.10887). Both classifiers start from the same weights and are trained for the same number of
    updates on equal numbers of every class.
    """
    fold, held_out = comparison.fold, comparison.clips["held-out"]
    sources = {kind: comparison.clips[kind] for kind in ("synthetic", "training")}
    subsets = equal_numbers(sources, n_classes, derive_seed(seed, Stream.QUALITY_TRAINING_CLIPS, fold))
    recalls = {}
    for kind, clip_index in subsets.items():
        weights_seed = derive_seed(seed, Stream.QUALITY_WEIGHTS, fold)
        model = build_classifier(classifier, comparison.normaliser, n_classes, weights_seed)
        loop.train(
            model,
            loop.Sources(sources[kind].subset(clip_index)),
            None,
            classifier.frames,
            training,
            augmentation,
            derive_seed(seed, Stream.QUALITY_TRAINING, fold),
            ignore,
        )
        logits = evaluate(model, held_out, classifier.frames, training.precision)
        recalls[kind] = recall(logits.argmax(1), held_out.labels.cpu(), n_classes)
    return recalls


def recall(predicted: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Share of the clips of each class that are recognised, `[classes]`; NaN where there are none."""
    correct = (predicted == labels).double()
    return torch.stack([correct[labels == label].mean() for label in range(n_classes)])


def nearest_neighbour_distances(comparison: Comparison, frames: int, seed: int) -> dict[str, Tensor]:
    """Distances of crops of `frames` of held-out and of synthetic clips to the nearest two training clips.

    The values of "held-out" and "synthetic" are those of `sample_metrics.nearest_two`.
    """
    distances = {}
    for kind in ("held-out", "synthetic"):
        clips = comparison.clips[kind]
        rng = make_rng(derive_seed(seed, Stream.QUALITY_CROPS, comparison.fold))
        crops = clips.random_crops(torch.arange(len(clips), device=clips.device), frames, rng)
        distances[kind] = sample_metrics.nearest_two(
            comparison.normaliser(crops), comparison.clips["training"], comparison.normaliser
        )
    return distances


def fold_metrics(
    comparison: Comparison,
    recalls: Mapping[str, Tensor],  # from `train_on_synthetic`
    distances: Mapping[str, Tensor],  # from `nearest_neighbour_distances`
    class_names: Sequence[str],
) -> dict[str, Any]:
    """The metrics of a fold as plain values: `repeat, fold, clips, synthetic, reference, emotions`.

    `clips` is the number of clips compared of each kind, `synthetic` and `reference` hold the metrics of the synthetic
    clips and their reference, and `emotions` is a list of the same by emotion. `recognised` and `trained` are means
    over emotions. None stands for what would be taken from fewer than LEAST clips.
    """
    fold, labels = comparison.fold, comparison.labels
    result: dict[str, Any] = {"repeat": fold.repeat, "fold": fold.fold, "clips": len(labels)}
    by_emotion: list[dict[str, Any]] = [
        {"emotion": emotion, "clips": int((labels == label).sum())} for label, emotion in enumerate(class_names)
    ]
    for side, compared, recognised_kind in (
        ("synthetic", "synthetic", "synthetic"),
        ("reference", "training", "held-out"),
    ):
        one, other = (comparison.embeddings[kind][comparison.balanced[kind]] for kind in (compared, "held-out"))
        recognised = recall(
            comparison.predicted[recognised_kind],
            comparison.clips[recognised_kind].labels.cpu(),
            len(class_names),
        )
        trained = recalls[compared]
        result[side] = {
            "frechet": sample_metrics.frechet(one, other) if len(one) >= LEAST else None,
            **_similarity(one, other),
            "recognised": recognised.nanmean().item(),
            "trained": trained.nanmean().item(),
            **sample_metrics.memorisation(distances[recognised_kind], distances["held-out"]),
        }
        for label, row in enumerate(by_emotion):
            own = labels == label
            row[side] = _similarity(one[own], other[own]) | {
                "recognised": recognised[label].item() if row["clips"] >= LEAST else None,
                "trained": trained[label].item() if row["clips"] >= LEAST else None,
            }
    return result | {"emotions": by_emotion}


def _similarity(one: Tensor, other: Tensor) -> dict[str, float | None]:
    if len(one) < LEAST:
        return dict.fromkeys(("kernel", "precision", "recall", "density", "coverage"))
    return {"kernel": sample_metrics.kernel(one, other), **sample_metrics.neighbourhoods(one, other)}


def points(
    comparison: Comparison, class_names: Sequence[str], speaker_of: Mapping[str, str]
) -> tuple[pd.DataFrame, Tensor]:
    """At most POINTS of the balanced clips of each kind.

    Returns the table `kind,clip,emotion,speaker` and the embeddings `[points, width]` of these clips. `speaker_of` has
    the speaker of each real clip; synthetic clips have none.
    """
    count = len(comparison.labels)
    sample = torch.linspace(0, count - 1, min(POINTS, count)).long()
    tables = []
    for kind in KINDS:
        clips = [comparison.names[kind][number] for number in comparison.balanced[kind][sample]]
        tables.append(
            pd.DataFrame(
                {
                    "kind": kind,
                    "clip": clips,
                    "emotion": [class_names[label] for label in comparison.labels[sample]],
                    "speaker": [speaker_of.get(clip, "") for clip in clips],
                }
            )
        )
    embeddings = [comparison.embeddings[kind][comparison.balanced[kind][sample]] for kind in KINDS]
    return pd.concat(tables, ignore_index=True), torch.cat(embeddings)


def summarise(folds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The metrics of all folds, from `fold_metrics`, averaged: `synthetic, reference, emotions, folds`.

    Values are rounded to 6 decimals. A metric that a fold does not have is averaged over the others; it is None where
    no fold has it.
    """
    emotions = [
        {"emotion": rows[0]["emotion"], "clips": sum(row["clips"] for row in rows), **_means(rows)}
        for rows in zip(*(fold["emotions"] for fold in folds), strict=True)
    ]
    each = [{key: fold[key] for key in ("repeat", "fold", "clips")} | _means([fold]) for fold in folds]
    return {**_means(folds), "emotions": emotions, "folds": each}


def _means(parts: Sequence[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    return {
        side: {name: _mean([part[side][name] for part in parts]) for name in parts[0][side]}
        for side in ("synthetic", "reference")
    }


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return round(sum(present) / len(present), 6) if present else None
