"""The synthetic clips of a fold beside real ones, as the fold's own baseline embeds them.

Every figure has a reference, what perfect clips would have: training clips in place of the synthetic ones where those
are compared with held-out clips or trained on, the held-out clips themselves where clips are recognised or looked for
among the training clips. Held-out clips choose, normalise and train nothing.
"""

import dataclasses

import pandas as pd
import torch

from ser.core.rng import derive_seed, make_rng
from ser.data import synthetic
from ser.data.clips import Normaliser
from ser.evaluation import sample_metrics
from ser.models import baseline
from ser.models.classifier import build_classifier, evaluate
from ser.training import loop

LEAST = 20  # clips to compare; no figure is taken from fewer
POINTS = 300  # clips of each kind among the points
KINDS = ("training", "held-out", "synthetic")


@dataclasses.dataclass(frozen=True)
class Material:
    """Training, held-out and synthetic clips of one fold, each dict with a value for every one of KINDS."""

    names: dict  # list of clips
    clips: dict  # Clips
    embeddings: dict  # [clips, width], scaled by one number: training clips have variance 1, averaged over dimensions
    predicted: dict  # [clips], numbers of the emotions that the baseline recognises
    chosen: dict  # clip numbers: equal numbers of every emotion, in order of emotions
    emotion: torch.Tensor  # of the chosen clips, the same of every kind
    normalise: Normaliser


def material(fold, real, generated, classifier, precision, seed, device):
    """The Material of a fold of the Study `real` with the synthetic clips in the folder `generated`; `classifier` and
    `precision` are the baseline's. Refuses a baseline or synthetic clips made from other training clips."""
    names = dict(zip(KINDS, (fold.train, fold.test, list(synthetic.index(generated, fold)["clip"]))))
    clips = {kind: real.clips(names[kind], device) for kind in ("training", "held-out")}
    clips["synthetic"] = synthetic.clips(generated, fold, real.emotions, device)
    net, normalise = baseline.classifier(fold, classifier, len(real.emotions), device)
    embeddings = {
        kind: evaluate(net, normalise, part, classifier.frames, precision, embed=True) for kind, part in clips.items()
    }
    head = net.head.cpu()
    with torch.inference_mode():
        predicted = {kind: head(part).argmax(1) for kind, part in embeddings.items()}
    scale = embeddings["training"].var(0).mean().sqrt().clamp(min=1e-6)
    scaled = {kind: part / scale for kind, part in embeddings.items()}
    chosen = equal_numbers(clips, len(real.emotions), derive_seed(seed, fold.repeat, fold.fold, 4))
    emotion = clips["held-out"].emotion.cpu()[chosen["held-out"]]
    return Material(names, clips, scaled, predicted, chosen, emotion, normalise)


def equal_numbers(clips, emotions, seed):
    """As many clips of each of so many `emotions` from every value of `clips` (Clips), drawn at random: a dict of clip
    numbers, in order of emotions."""
    labels = {kind: part.emotion.cpu() for kind, part in clips.items()}
    counts = torch.stack([label.bincount(minlength=emotions) for label in labels.values()]).amin(0)

    def draw(label):
        order = torch.randperm(len(label), generator=make_rng(seed))
        return torch.cat([order[label[order] == emotion][:count] for emotion, count in enumerate(counts)])

    return {kind: draw(label) for kind, label in labels.items()}


def teach(
    fold,
    material,
    validation,  # Clips that choose the epoch
    emotions,  # how many
    evaluator,  # ClassifierSettings
    settings,  # Training
    masking,  # Masking
    seed,
):
    """Recall of each emotion `[emotions]` on held-out clips by a classifier that learnt from synthetic clips alone, and
    by one that learnt from training clips alone: {"synthetic", "training"} (Ravuri & Vinyals 2019, arXiv 1905.10887).

    Both start from the same weights and learn for the same number of updates from equal numbers of every emotion.
    """
    sources = {kind: material.clips[kind] for kind in ("synthetic", "training")}
    held_out, normalise, recalls = material.clips["held-out"], material.normalise, {}
    lessons = equal_numbers(sources, emotions, derive_seed(seed, fold.repeat, fold.fold, 5))
    for kind, which in lessons.items():
        net = build_classifier(evaluator, len(normalise.mean), emotions, derive_seed(seed, fold.repeat, fold.fold, 6))
        loop.fit(
            net,
            normalise,
            loop.Sources(_only(sources[kind], which)),
            validation,
            evaluator.frames,
            settings,
            masking,
            derive_seed(seed, fold.repeat, fold.fold, 7),
            log=lambda figures: None,
        )
        logits = evaluate(net, normalise, held_out, evaluator.frames, settings.precision)
        recalls[kind] = recall(logits.argmax(1), held_out.emotion.cpu(), emotions)
    return recalls


def _only(clips, which):
    which = which.to(clips.start.device)
    return dataclasses.replace(
        clips, start=clips.start[which], length=clips.length[which], emotion=clips.emotion[which]
    )


def recall(predicted, emotion, emotions):
    """Share of the clips of each emotion that are recognised, `[emotions]`; NaN where there are none."""
    correct = (predicted == emotion).double()
    return torch.stack([correct[emotion == number].mean() for number in range(emotions)])


def near(fold, material, frames, seed):
    """Distances of crops of `frames` of held-out and of synthetic clips to the nearest two training clips, as of
    `quality.nearest_two`: {"held-out", "synthetic"}."""
    found = {}
    for kind in ("held-out", "synthetic"):
        clips = material.clips[kind]
        draws = make_rng(derive_seed(seed, fold.repeat, fold.fold, 8))
        crops = clips.random_crops(torch.arange(len(clips), device=clips.start.device), frames, draws)
        found[kind] = sample_metrics.nearest_two(
            material.normalise(crops), material.clips["training"], material.normalise
        )
    return found


def figures(fold, material, taught, near, emotions):
    """The figures of a fold as plain values: {"repeat", "fold", "clips", "synthetic", "reference", "emotions"}, the
    last four being the number of clips compared of each kind, the figures of the synthetic clips, their reference, and
    a list of the same by emotion.

    `taught` and `near` as of the functions of these names. The shares `recognised` (by the baseline) and `trained` (by
    those that were taught) are means over emotions. None stands for what would be taken from fewer than LEAST clips.
    """
    result = {"repeat": fold.repeat, "fold": fold.fold, "clips": len(material.emotion)}
    by_emotion = [
        {"emotion": emotion, "clips": int((material.emotion == number).sum())}
        for number, emotion in enumerate(emotions)
    ]
    for side, (compared, seen) in {"synthetic": ("synthetic",) * 2, "reference": ("training", "held-out")}.items():
        one, other = (material.embeddings[kind][material.chosen[kind]] for kind in (compared, "held-out"))
        recognised = recall(material.predicted[seen], material.clips[seen].emotion.cpu(), len(emotions))
        trained = taught[compared]
        result[side] = {
            "frechet": sample_metrics.frechet(one, other) if len(one) >= LEAST else None,
            **_alike(one, other),
            "recognised": recognised.nanmean().item(),
            "trained": trained.nanmean().item(),
            **sample_metrics.memorisation(near[seen], near["held-out"]),
        }
        for number, row in enumerate(by_emotion):
            those = material.emotion == number
            row[side] = _alike(one[those], other[those]) | {
                "recognised": recognised[number].item() if row["clips"] >= LEAST else None,
                "trained": trained[number].item() if row["clips"] >= LEAST else None,
            }
    return result | {"emotions": by_emotion}


def _alike(one, other):
    if len(one) < LEAST:
        return dict.fromkeys(("kernel", "precision", "recall", "density", "coverage"))
    return {"kernel": sample_metrics.kernel(one, other)} | sample_metrics.neighbourhoods(one, other)


def points(material, emotions, speaker):
    """At most POINTS of the chosen clips of each kind: the table `kind,clip,emotion,speaker`, and their embeddings
    `[points, width]`. `speaker` gives that of a real clip; synthetic ones have none."""
    few = torch.linspace(0, len(material.emotion) - 1, min(POINTS, len(material.emotion))).long()
    tables = []
    for kind in KINDS:
        clips = [material.names[kind][number] for number in material.chosen[kind][few]]
        tables.append(
            pd.DataFrame(
                {
                    "kind": kind,
                    "clip": clips,
                    "emotion": [emotions[number] for number in material.emotion[few]],
                    "speaker": [speaker.get(clip, "") for clip in clips],
                }
            )
        )
    embeddings = [material.embeddings[kind][material.chosen[kind][few]] for kind in KINDS]
    return pd.concat(tables, ignore_index=True), torch.cat(embeddings)


def summary(folds):
    """The figures of all folds, a list as of `figures`, averaged: {"synthetic", "reference", "emotions", "folds"},
    rounded to 6 decimals. A figure that a fold does not have is averaged over the others; None where none has it."""
    emotions = [
        {"emotion": rows[0]["emotion"], "clips": sum(row["clips"] for row in rows), **_means(rows)}
        for rows in zip(*(fold["emotions"] for fold in folds))
    ]
    each = [{key: fold[key] for key in ("repeat", "fold", "clips")} | _means([fold]) for fold in folds]
    return {**_means(folds), "emotions": emotions, "folds": each}


def _means(parts):
    return {
        side: {name: _mean([part[side][name] for part in parts]) for name in parts[0][side]}
        for side in ("synthetic", "reference")
    }


def _mean(values):
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 6) if known else None
