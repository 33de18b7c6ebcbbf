"""The speaker-adapted protocol: what posteriors gain when they are corrected for a bias of the network per speaker.

A network favours some emotions for some speakers. The correction subtracts an estimate of that bias, one number per
emotion, from the log-posteriors of a clip. The estimate comes from a pool of other clips of the same speaker that
have no label, or from a few clips of the speaker whose emotion is known (enrolment).

The first way is transductive: test clips are used to recognise test clips. The second way needs labelled clips of the
test speaker. Neither is comparable with the headline, in which a test clip is recognised on its own.

Everything is computed from the predictions of the arms and the catalogue. A clip never influences its own correction.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ser.core.errors import InputError
from ser.evaluation.metrics import clips_of
from ser.evaluation.resampling import Estimate, resample

POOL_SIZES = (2, 5, 10, 20, 40)  # clips
POOL_EMOTIONS = (1, 2, 3)  # in a skewed pool
STRENGTHS = {"full": 1.0, "half": 0.5}  # factors of the bias
DRAWS = 10  # of a random pool per clip, and of enrolment clips per speaker
ITERATIONS = 20
FLOOR = 1e-6  # of a probability: they are written with six decimals
ENROLMENT_EMOTION, ENROLMENT_CLIPS = "neutral", 2

Variant = tuple[str, ...]
UNCORRECTED: Variant = ("uncorrected",)
ENROLMENT: Variant = ("enrolment", "uncorrected")  # on the clips that are not enrolled


def mean_bias(log_posteriors: np.ndarray, pools: np.ndarray) -> np.ndarray:
    """The mean log-posteriors over the pool of each clip: [..., draws, clips, classes].

    `log_posteriors` is [..., clips, classes]. `pools` is [draws, clips, clips] and holds 1 where the second clip is in
    the pool of the first. No pool may be empty.

    This is cepstral mean subtraction (Atal, J Acoust Soc Am 55(6), 1974) at the other end of the recogniser.
    """
    return pools @ log_posteriors[..., None, :, :] / pools.sum(axis=-1, keepdims=True)


def uniform_bias(log_posteriors: np.ndarray, pools: np.ndarray) -> np.ndarray:
    """The log-biases without which the mean posterior over the pool of each clip is uniform; shapes as in `mean_bias`.

    The fixed-point iteration alternates between posteriors that sum to 1 per clip and equal means per class (Sinkhorn,
    Ann Math Statist 35(2), 1964). It differs from the EM algorithm for changed priors (Saerens et al., Neural
    Computation 14(1), 2002) in that the priors are given.
    """
    posteriors = np.exp(log_posteriors)[..., None, :, :]
    n_classes = posteriors.shape[-1]
    weights = pools / pools.sum(axis=-1, keepdims=True)
    factors = np.ones((*log_posteriors.shape[:-2], *pools.shape[:2], n_classes))
    for _ in range(ITERATIONS):
        totals = factors @ posteriors.swapaxes(-1, -2)  # [..., draws, clips, clips]
        factors = 1 / (n_classes * ((weights / totals) @ posteriors))
    return -np.log(factors)


METHODS = {"mean": mean_bias, "uniform": uniform_bias}


def pools_by_size(clips: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random pools of POOL_SIZES of the other clips, and one pool with all of them, each [draws, clips, clips].

    A larger pool holds the smaller one of the same draw. Where there are fewer other clips, the pool holds all.
    """
    keys = rng.random((DRAWS, clips, clips))
    keys[:, np.arange(clips), np.arange(clips)] = np.inf
    rank = keys.argsort(axis=-1).argsort(axis=-1)
    pools = {str(size): (rank < min(size, clips - 1)).astype(float) for size in POOL_SIZES}
    return pools | {"all": 1 - np.eye(clips)[None]}


def pools_by_emotion(labels: np.ndarray, n_classes: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Pools of all other clips that have one of POOL_EMOTIONS emotions, each [draws, clips, clips].

    It is as if the speaker were heard with so many emotions alone: one is that of the clip itself, the others are drawn
    for each clip. `labels` is [clips]. Emotions that no other clip has are left out. There are only pools with fewer
    emotions than there are classes.
    """
    others = 1 - np.eye(len(labels))
    found = others @ np.eye(n_classes)[labels] > 0  # [clips, classes]
    keys = rng.random((DRAWS, *found.shape))
    keys[:, np.arange(len(labels)), labels] = -1  # its own emotion comes first
    rank = np.where(found, keys, np.inf).argsort(axis=-1).argsort(axis=-1)
    rank = np.where(found, rank, n_classes)
    return {str(count): (rank < count)[:, :, labels] * others for count in POOL_EMOTIONS if count < n_classes}


class _TestClips(NamedTuple):
    """The test clips of one speaker in one fold."""

    repeat: int
    fold: int
    speaker: int  # row in the table of speakers
    labels: np.ndarray  # [clips]
    log_posteriors: np.ndarray  # [runs, clips, classes]
    correct: np.ndarray  # whether the emotion predicted is right, [runs, clips]


def speaker_adapted(
    predictions: Mapping[str, pd.DataFrame],  # table of each arm, from `read_predictions`
    catalogue: pd.DataFrame,
    class_names: Sequence[str],
    protocol: str,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, Any]:
    """UA of every arm with and without the correction: plain values, rounded to 6 decimals.

    The result says what was tested, and holds for each arm

    - `uncorrected`: its `ua`;
    - `pool_size`: by method, strength and number of clips in the pool, `ua` and its `difference` from `uncorrected`;
    - `pool_emotions`: the same by number of emotions in the pool, of which one is that of the clip;
    - `enrolment`: `uncorrected` and each strength, on the clips that are not enrolled; None where no speaker can be
      enrolled.

    `ua` and `difference` are Estimates.

    UA is the mean over runs and over random pools; intervals are over speakers. The random pools are the same for
    every arm. Raises InputError where arms or runs were not tested on the same clips, or where the catalogue does not
    have them.
    """
    class_names = list(class_names)
    _check_complete(predictions)
    any_predictions = next(iter(predictions.values()))
    clips = catalogue.set_index("clip").loc[lambda rows: rows.index.isin(any_predictions["clip"])]
    speakers = clips[["corpus", "speaker"]].drop_duplicates().sort_values(["corpus", "speaker"], ignore_index=True)
    draws = resample(speakers["corpus"], resamples, np.random.default_rng(seed))
    if (draws == 1).all():  # single speakers: nothing to draw from
        draws = draws[:0]

    arms: dict[str, Any] = {}
    for arm, table in predictions.items():
        test_clips = _by_speaker(table, catalogue, speakers, class_names)
        counts = _counts(test_clips, len(speakers), class_names, np.random.default_rng(seed))
        arms[arm] = _estimates(counts, draws)
    enrolled = counts[ENROLMENT][1].sum(axis=1) > 0 if ENROLMENT in counts else np.full(len(speakers), False)
    return {
        "transductive": True,
        "protocol": protocol,
        "emotions": class_names,
        "resamples": resamples,
        "seed": seed,
        "draws": DRAWS,
        "clips": len(clips),
        "speakers": len(speakers),
        "repeats": int(any_predictions["repeat"].nunique()),
        "runs": int(any_predictions["run"].nunique()),
        "corpora": {
            corpus: {"clips": len(rows), "speakers": int(rows["speaker"].nunique())}
            for corpus, rows in clips.groupby("corpus")
        },
        "enrolment": {
            "emotion": ENROLMENT_EMOTION,
            "clips": ENROLMENT_CLIPS,
            "speakers": int(enrolled.sum()),
            "left_out": speakers["speaker"][~enrolled].tolist(),
        },
        "arms": arms,
    }


def _check_complete(predictions: Mapping[str, pd.DataFrame]) -> None:
    """Every arm must have a prediction of every test clip from every run."""
    columns = ["repeat", "fold", "clip", "run"]
    tested = {arm: set(table[columns].itertuples(index=False, name=None)) for arm, table in predictions.items()}
    tested_by_any = set.union(*tested.values())
    expected = {
        (*clip, run) for clip, run in product({row[:3] for row in tested_by_any}, {row[3] for row in tested_by_any})
    }
    for arm, rows in tested.items():
        if missing := expected - rows:
            repeat, fold, clip, run = min(missing)
            raise InputError(
                f"arm '{arm}' has no prediction of clip '{clip}' in repeat {repeat}, fold {fold}, run {run}; "
                "every run of every arm is tested on the same clips: run `dvc repro`"
            )


def _by_speaker(
    table: pd.DataFrame,
    catalogue: pd.DataFrame,
    speakers: pd.DataFrame,  # `corpus, speaker`
    class_names: list[str],
) -> list[_TestClips]:
    clips = clips_of(table, catalogue)
    number_of = pd.MultiIndex.from_frame(speakers)
    table = table.assign(speaker=number_of.get_indexer(pd.MultiIndex.from_frame(clips[["corpus", "speaker"]])))
    runs = table["run"].nunique()
    groups = []
    for (repeat, fold, speaker), rows in table.sort_values(["run", "clip"]).groupby(["repeat", "fold", "speaker"]):
        labels = pd.Index(class_names).get_indexer(rows["emotion"])
        correct = (rows["predicted"] == rows["emotion"]).to_numpy()
        log_posteriors = np.log(np.maximum(rows[class_names].to_numpy(), FLOOR))
        groups.append(
            _TestClips(
                repeat,
                fold,
                speaker,
                labels[: len(rows) // runs],
                log_posteriors.reshape(runs, -1, len(class_names)),
                correct.reshape(runs, -1),
            )
        )
    return groups


def _counts(
    test_clips: list[_TestClips], speakers: int, class_names: list[str], rng: np.random.Generator
) -> dict[Variant, np.ndarray]:
    """For each variant, correct clips and tested clips by speaker and class: [2, speakers, classes].

    Both are means over runs and over random draws.
    """
    n_classes = len(class_names)
    counts: dict[Variant, np.ndarray] = {}
    references = _enrolment_references(test_clips, class_names)
    for clips, reference in zip(test_clips, references, strict=True):
        class_of_clip = np.eye(n_classes)[clips.labels]
        results = [(UNCORRECTED, clips.correct, np.array(True)), *_pooled(clips, n_classes, rng)]
        if reference is not None:
            results += _enrolled(clips, class_names.index(ENROLMENT_EMOTION), reference, rng)
        for variant, correct, tested in results:
            both = np.stack(np.broadcast_arrays(correct & tested, tested))  # [2, runs(, draws), clips]
            share = both.reshape(2, -1, len(clips.labels)).mean(axis=1)
            counts.setdefault(variant, np.zeros((2, speakers, n_classes)))[:, clips.speaker] += share @ class_of_clip
    return counts


def _pooled(
    clips: _TestClips, n_classes: int, rng: np.random.Generator
) -> Iterator[tuple[Variant, np.ndarray, np.ndarray]]:
    """Each variant of the correction by a pool: whether clips are right [runs, draws, clips], and which are tested."""
    pools = {("pool_emotions", count): pool for count, pool in pools_by_emotion(clips.labels, n_classes, rng).items()}
    pools |= {("pool_size", size): pool for size, pool in pools_by_size(len(clips.labels), rng).items()}
    for (kind, amount), pool in pools.items():
        for method, estimate in METHODS.items():
            alone = len(clips.labels) == 1  # no other clip, no correction
            bias = np.zeros(n_classes) if alone else estimate(clips.log_posteriors, pool)
            for strength, factor in STRENGTHS.items():
                correct = _is_correct(clips, factor * bias)
                yield (kind, method, strength, amount), correct, np.array(True)
                if amount == "all":  # also has all emotions
                    yield ("pool_emotions", method, strength, amount), correct, np.array(True)


def _enrolment_references(test_clips: list[_TestClips], class_names: list[str]) -> list[np.ndarray | None]:
    """For each item, the mean log-posteriors [runs, classes] of enrolment clips of other speakers in other folds.

    Those are speakers that the network was trained or validated on. Their labels are therefore known where it is used,
    and their posteriors come from networks that were not trained on them. None where there are too few clips to enrol,
    or no other speakers.
    """
    if ENROLMENT_EMOTION not in class_names:
        return [None] * len(test_clips)
    is_enrolment = [clips.labels == class_names.index(ENROLMENT_EMOTION) for clips in test_clips]
    means = [
        clips.log_posteriors[:, members].mean(axis=1) if members.any() else None
        for clips, members in zip(test_clips, is_enrolment, strict=True)
    ]
    references: list[np.ndarray | None] = []
    for clips, members in zip(test_clips, is_enrolment, strict=True):
        known = [
            mean
            for other, mean in zip(test_clips, means, strict=True)
            if mean is not None
            and other.repeat == clips.repeat
            and other.fold != clips.fold
            and other.speaker != clips.speaker
        ]
        enough = members.sum() >= ENROLMENT_CLIPS and len(members) > ENROLMENT_CLIPS
        references.append(np.mean(known, axis=0) if enough and known else None)
    return references


def _enrolled(
    clips: _TestClips, label: int, reference: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[Variant, np.ndarray, np.ndarray]]:
    """As `_pooled`, for the correction by random enrolment clips, which are not tested."""
    candidates = np.flatnonzero(clips.labels == label)
    keys = rng.random((DRAWS, len(candidates)))
    enrolment = candidates[keys.argsort(axis=-1)[:, :ENROLMENT_CLIPS]]  # [draws, clips]
    tested = np.full((DRAWS, len(clips.labels)), True)
    np.put_along_axis(tested, enrolment, False, axis=-1)
    bias = clips.log_posteriors[:, enrolment].mean(axis=-2) - reference[:, None]  # [runs, draws, classes]
    yield ENROLMENT, clips.correct[:, None], tested
    for strength, factor in STRENGTHS.items():
        yield ("enrolment", strength), _is_correct(clips, factor * bias[:, :, None]), tested


def _is_correct(clips: _TestClips, bias: np.ndarray) -> np.ndarray:
    return (clips.log_posteriors[:, None] - bias).argmax(axis=-1) == clips.labels


def _estimates(counts: Mapping[Variant, np.ndarray], draws: np.ndarray) -> dict[str, Any]:
    """What `speaker_adapted` returns for an arm, from its `_counts` and draws [resamples, speakers]."""
    ua = {variant: _ua(each, draws) for variant, each in counts.items()}
    estimates: dict[str, Any] = {}
    for (*groups, name), values in ua.items():
        place = estimates
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = {"ua": _estimate(values)}
        if name != "uncorrected":
            reference = ua[ENROLMENT if groups[0] == "enrolment" else UNCORRECTED]
            place[name]["difference"] = _estimate(values - reference)
    estimates.setdefault("enrolment", None)
    return estimates


def _ua(counts: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """UA of all speakers, followed by that of each draw: [1 + resamples]."""
    weights = np.concatenate([np.ones((1, draws.shape[1])), draws])
    correct, tested = weights @ counts  # each [1 + resamples, classes]
    present = tested > 0
    recall = np.divide(correct, tested, out=np.zeros_like(correct), where=present)
    with np.errstate(invalid="ignore"):  # a draw without any tested clip
        return recall.sum(axis=-1) / present.sum(axis=-1)


def _estimate(values: np.ndarray) -> Estimate:
    """A value with the 95 % interval of the resamples that follow it."""
    value, resampled = values[0], values[1:][np.isfinite(values[1:])]
    low = high = None
    if resampled.size:
        low, high = np.percentile(resampled, [2.5, 97.5]).round(6).tolist()
    return {"value": round(float(value), 6), "low": low, "high": high}
