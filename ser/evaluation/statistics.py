"""How well each arm recognises emotion: intervals over speakers, and paired differences between arms.

Speakers are the sample and corpora are fixed. Everything is computed from one confusion matrix per speaker: an interval
comes from drawing speakers with replacement within each corpus, and a paired test from swapping two arms speaker by
speaker.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np
import pandas as pd

from ser.core.errors import InputError
from ser.evaluation.metrics import METRICS, classification_metrics, confusions

REFERENCES = ("baseline", "augmented")  # arms that the others are compared with


class Estimate(TypedDict):
    """A metric and its 95 % interval, which is None where there is nothing to resample."""

    value: float
    low: float | None
    high: float | None


def resample(corpora: Sequence[str] | pd.Series, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each speaker is drawn: int [resamples, speakers], with replacement within each corpus.

    `corpora` has the corpus of each speaker. This is the stratified bootstrap; Efron & Tibshirani, An Introduction to
    the Bootstrap, 1993 (percentile intervals: ch. 13).
    """
    corpus_of_speaker = np.asarray(corpora)
    draws = np.empty((resamples, len(corpus_of_speaker)), dtype=np.int64)
    for corpus in np.unique(corpus_of_speaker):
        members = np.flatnonzero(corpus_of_speaker == corpus)
        size = len(members)
        draws[:, members] = rng.multinomial(size, np.full(size, 1 / size), size=resamples)
    return draws


def permutation_p(
    counts: np.ndarray,  # of an arm: confusion matrices [speakers, classes, classes]
    reference_counts: np.ndarray,  # of the arm it is compared with, over the same clips
    signs: np.ndarray,  # 1 or -1, [permutations, speakers]
) -> float:
    """Two-sided p value of the difference in UA of two arms, from swapping their confusion matrices by speaker.

    As both arms were tested on the same clips, the difference is a sum of one term per speaker, and a swap changes the
    sign of that term. One is added to both counts so that p is never 0 (Phipson & Smyth, Stat Appl Genet Mol Biol 9(1),
    2010).
    """
    true = reference_counts.sum(axis=(0, 2))
    gain_of_class = np.diagonal(counts - reference_counts, axis1=1, axis2=2)[:, true > 0] / true[true > 0]
    gain = gain_of_class.mean(axis=1)
    extreme = np.abs(signs @ gain) >= np.abs(gain.sum()) - 1e-12
    return (1 + extreme.sum()) / (1 + len(signs))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """The p values corrected by Holm's step-down method (Scand J Statist 6, 1979), in the order given."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return corrected


class _Metrics(NamedTuple):
    """The metrics of an arm for some speakers (see `classification_metrics`)."""

    observed: dict[str, np.ndarray]
    resampled: dict[str, np.ndarray]  # with a first axis [resamples], empty where there is nothing to draw from


def compare_arms(
    predictions: Mapping[str, pd.DataFrame],  # table of each arm, from `read_predictions`
    catalogue: pd.DataFrame,
    class_names: Sequence[str],
    protocol: str,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compare arms that predicted the same clips.

    Returns (summary, details), plain values rounded to 6 decimals. The summary is {arm: {"ua", "wa", "f1"}}. The
    details hold for each arm

    - its metrics, overall and by corpus, each as an Estimate;
    - its pooled confusion matrix;
    - its paired differences from each of REFERENCES, each as an Estimate, with the p value of the difference in UA,
      raw and corrected over the arms that are compared with the same reference.

    Raises InputError where the arms were not tested on the same clips.
    """
    class_names = list(class_names)
    _check_same_clips(predictions)
    counts: dict[str, np.ndarray] = {}
    for arm, table in predictions.items():
        counts[arm], speakers = confusions(table, catalogue, class_names)
    rng = np.random.default_rng(seed)
    draws = resample(speakers["corpus"], resamples, rng)
    signs = rng.choice([-1, 1], size=(resamples, len(speakers)))
    scopes = {"overall": np.full(len(speakers), True)}
    scopes |= {corpus: (speakers["corpus"] == corpus).to_numpy() for corpus in speakers["corpus"].unique()}
    metrics = {
        arm: {scope: _bootstrap(arm_counts[members], draws[:, members]) for scope, members in scopes.items()}
        for arm, arm_counts in counts.items()
    }

    arms: dict[str, Any] = {}
    for arm, arm_counts in counts.items():
        estimates = {scope: _estimates(metrics[arm][scope], class_names) for scope in scopes}
        arms[arm] = {
            "overall": estimates.pop("overall"),
            "corpora": estimates,
            "confusion": arm_counts.sum(axis=0).tolist(),
            "against": {},
        }
    for reference, others in comparisons(list(counts)).items():
        p_values = [permutation_p(counts[arm], counts[reference], signs) for arm in others]
        for arm, raw, corrected in zip(others, p_values, holm(p_values), strict=True):
            differences = {scope: _differences(metrics[arm][scope], metrics[reference][scope]) for scope in scopes}
            arms[arm]["against"][reference] = {
                **differences.pop("overall"),
                "p": round(float(raw), 6),
                "p_corrected": round(float(corrected), 6),
                "corpora": differences,
            }

    any_predictions = next(iter(predictions.values()))
    clips = catalogue.set_index("clip").loc[any_predictions["clip"].unique()]
    details = {
        "protocol": protocol,
        "leaks": protocol == "random",
        "emotions": class_names,
        "resamples": resamples,
        "seed": seed,
        "clips": len(clips),
        "speakers": len(speakers),
        "repeats": int(any_predictions["repeat"].nunique()),
        "corpora": {
            corpus: {"clips": len(rows), "speakers": int(rows["speaker"].nunique())}
            for corpus, rows in clips.groupby("corpus")
        },
        "arms": arms,
    }
    summary = {arm: {metric: arms[arm]["overall"][metric]["value"] for metric in METRICS} for arm in arms}
    return summary, details


def comparisons(arms: Sequence[str]) -> dict[str, list[str]]:
    """The arms that are compared with each reference: all others with baseline, all but baseline with augmented."""
    return {
        reference: [arm for arm in arms if arm not in ("baseline", reference)]
        for reference in REFERENCES
        if reference in arms
    }


def _check_same_clips(predictions: Mapping[str, pd.DataFrame]) -> None:
    tested = {arm: set(zip(table["repeat"], table["clip"], strict=True)) for arm, table in predictions.items()}
    tested_by_any = set.union(*tested.values())
    for arm, clips in tested.items():
        if clips != tested_by_any:
            repeat, clip = min(tested_by_any - clips)
            raise InputError(
                f"arm '{arm}' has no prediction of clip '{clip}' in repeat {repeat}, "
                "which another arm has; arms are compared on the same clips: run `dvc repro`"
            )


def _bootstrap(counts: np.ndarray, draws: np.ndarray) -> _Metrics:
    """The metrics of confusion matrices [speakers, classes, classes], and those of resamples [resamples, speakers]."""
    speakers, n_classes, _ = counts.shape
    if (draws == 1).all():  # single speakers: nothing to draw from
        draws = draws[:0]
    pooled = (draws @ counts.reshape(speakers, -1)).reshape(-1, n_classes, n_classes)
    return _Metrics(classification_metrics(counts.sum(axis=0)), classification_metrics(pooled))


def _estimates(metrics: _Metrics, class_names: Sequence[str]) -> dict[str, Any]:
    observed, resampled = metrics
    estimates: dict[str, Any] = {metric: _estimate(observed[metric], resampled[metric]) for metric in METRICS}
    estimates["recall"] = {
        class_name: _estimate(observed["recall"][label], resampled["recall"][:, label])
        for label, class_name in enumerate(class_names)
        if np.isfinite(observed["recall"][label])
    }
    return estimates


def _differences(metrics: _Metrics, reference: _Metrics) -> dict[str, Any]:
    return {
        metric: _estimate(
            metrics.observed[metric] - reference.observed[metric],
            metrics.resampled[metric] - reference.resampled[metric],
        )
        for metric in METRICS
    }


def _estimate(observed: np.ndarray, resampled: np.ndarray) -> Estimate:
    """A metric with the 95 % interval of its resamples [resamples]."""
    finite = resampled[np.isfinite(resampled)]
    low = high = None
    if finite.size:
        low, high = np.percentile(finite, [2.5, 97.5]).round(6).tolist()
    return {"value": round(float(observed), 6), "low": low, "high": high}
