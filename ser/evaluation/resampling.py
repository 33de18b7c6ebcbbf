"""Intervals and tests over speakers and runs.

Every run is tested on the same speakers, so that speakers and runs are crossed random effects. The error of a mean over
runs has two parts:

- speakers: the variance of the mean over runs when speakers are resampled. It includes the interaction, that is, that a
  run suits some speakers better than others.
- runs: the variance between runs, as far as it exceeds what that interaction explains. It is an effect that a run has
  on all speakers alike.

These are the estimates of the two-way random-effects analysis of variance, with which radiology compares methods over
readers and cases (Obuchowski & Rockette 1995, Communications in Statistics 24; Hillis 2007, Stat Med 26). Resampling
both at once (Owen 2007, Ann Appl Stat 1(2)) counts the interaction up to three times, and a bootstrap of few runs falls
short of their variance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pandas as pd
from scipy.special import stdtr

from ser.evaluation.metrics import classification_metrics

# Smallest true difference that a two-sided test at 5 % detects with a power of 80 %, in standard errors (Cohen,
# Statistical Power Analysis for the Behavioral Sciences, 1988).
DETECTABLE = 1.96 + 0.84


class Estimate(TypedDict):
    """A metric and its 95 % interval, which is None where there is nothing to resample."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Sample:
    """A metric of every run, for the speakers as they are and for resamples of them."""

    observed: np.ndarray  # [runs]
    resampled: np.ndarray  # [resamples, runs]; no resamples where there is nothing to draw from

    def __sub__(self, other: "Sample") -> "Sample":
        """The paired difference from another arm, over the same runs and resamples."""
        return Sample(self.observed - other.observed, self.resampled - other.resampled)


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


def draw_runs(n_runs: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The effect of runs on a mean over them, in standard errors: [resamples]; 0 with one run, which shows none.

    Runs are too few to resample. Their effect is drawn from Student's t distribution, which allows for that.
    """
    return rng.standard_t(n_runs - 1, size=resamples) if n_runs > 1 else np.zeros(resamples)


def samples(
    counts: np.ndarray,  # confusion matrices [runs, speakers, classes, classes]
    draws: np.ndarray,  # [resamples, speakers], from `resample`
) -> dict[str, Sample]:
    """The metrics of `classification_metrics`; those of recall have a last axis [classes]."""
    n_runs, n_speakers, n_classes, _ = counts.shape
    pooled = draws @ counts.swapaxes(0, 1).reshape(n_speakers, -1)
    observed = classification_metrics(counts.sum(axis=1))
    resampled = classification_metrics(pooled.reshape(-1, n_runs, n_classes, n_classes))
    return {metric: Sample(observed[metric], resampled[metric]) for metric in observed}


def variances(sample: Sample) -> tuple[float, float]:
    """The variance of the mean over runs that is due to speakers, and that which is due to runs (see above)."""
    speakers = float(sample.resampled.mean(axis=1).var())
    n_runs = len(sample.observed)
    if n_runs == 1:
        return speakers, 0.0
    return speakers, max(float(sample.observed.var(ddof=1)) - _interaction(sample), 0.0) / n_runs


def _interaction(sample: Sample) -> float:
    """The variance of a run's metric over resamples that is due to the interaction of runs and speakers."""
    deviation = sample.resampled - sample.resampled.mean(axis=1, keepdims=True)
    return float(deviation.var(axis=0).sum() / (len(sample.observed) - 1))


def estimate(
    sample: Sample,
    run_draws: np.ndarray,  # [resamples], from `draw_runs`
    lowest: float = 0.0,  # value that the metric can have
) -> Estimate:
    """The mean over runs with its 95 % interval over speakers and runs.

    The interval holds the middle 95 % of the resamples of speakers, each with a drawn effect of runs. With one run, it
    is the percentile interval over speakers.
    """
    low = high = None
    drawn = np.isfinite(sample.resampled).all(axis=1)  # a class may be missing in a resample
    if drawn.any():
        sample, run_draws = Sample(sample.observed, sample.resampled[drawn]), run_draws[drawn]
        values = sample.resampled.mean(axis=1) + run_draws * variances(sample)[1] ** 0.5
        low, high = np.percentile(values.clip(lowest, 1), [2.5, 97.5]).round(6).tolist()
    return {"value": round(float(sample.observed.mean()), 6), "low": low, "high": high}


def detectable(difference: Sample) -> float | None:
    """The smallest true difference that would be found with a power of 80 %; None where there is nothing to resample.

    It assumes a normal distribution and ignores the correction for several arms.
    """
    return DETECTABLE * sum(variances(difference)) ** 0.5 if len(difference.resampled) else None


def detectable_with(n_runs: int, difference: Sample) -> float | None:
    """What `detectable` would be with `n_runs` runs; None with one run measured, which shows no variance of runs."""
    measured = len(difference.observed)
    if measured == 1 or not len(difference.resampled):
        return None
    speakers, runs = variances(difference)
    total = speakers + runs
    by_run = min(runs + _interaction(difference) / measured, total)  # falls with the number of runs, the rest does not
    return DETECTABLE * (total - by_run + by_run * measured / n_runs) ** 0.5


def p_value(
    difference: Sample,
    freedom: int,  # degrees of freedom of the speakers: their number less that of the corpora
) -> float:
    """Two-sided p value of a difference, from a t test over speakers and runs; 1 where there is nothing to resample.

    The two variances are added as in Hillis 2007. Their degrees of freedom are combined after Satterthwaite (Biometrics
    Bulletin 2(6), 1946).
    """
    mean = abs(difference.observed.mean())
    if mean == 0 or not len(difference.resampled):
        return 1.0
    speakers, runs = variances(difference)
    if speakers + runs == 0:
        return 0.0
    parts = speakers**2 / freedom + (runs**2 / (len(difference.observed) - 1) if runs else 0)
    return float(2 * stdtr((speakers + runs) ** 2 / parts, -mean / (speakers + runs) ** 0.5))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """The p values corrected by Holm's step-down method (Scand J Statist 6, 1979), in the order given."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return corrected
