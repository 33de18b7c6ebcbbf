"""How well each arm recognises emotion: intervals over speakers and runs, and paired differences between arms.

Speakers and runs are samples, corpora are fixed. Everything is computed from one confusion matrix per run and speaker.
Arms share folds and, run by run, initial weights: they are compared over the same resamples, run by run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ser.core.errors import InputError
from ser.evaluation import calibration
from ser.evaluation.metrics import METRICS, classification_metrics, confusions
from ser.evaluation.resampling import (
    Estimate,
    Sample,
    detectable,
    detectable_with,
    draw_runs,
    estimate,
    holm,
    p_value,
    resample,
    samples,
)

REFERENCES = ("baseline", "augmented")  # arms that the others are compared with
GROUPS = ("sex", "intensity")  # columns of the catalogue
PLANNED_RUNS = (1, 2, 3, 5, 10)  # numbers of runs for which the smallest detectable difference is stated


def compare_arms(
    predictions: Mapping[str, pd.DataFrame],  # table of each arm, from `read_predictions`
    catalogue: pd.DataFrame,
    class_names: Sequence[str],
    protocol: str,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compare arms that predicted the same clips in the same runs.

    Returns (summary, details), plain values rounded to 6 decimals. The summary is {arm: {"ua", "wa", "f1"}}, means over
    runs. The details hold for each arm

    - `overall`, `corpora`: its metrics, overall and by corpus, each as an Estimate; overall also `run_sd`, the standard
      deviation of UA between runs, None with one run;
    - `against`: its paired differences from each of REFERENCES, each as an Estimate, with the p value of the difference
      in UA, raw and corrected over the arms that are compared with the same reference, and the smallest difference
      that would be found (`detectable`), with several runs also for PLANNED_RUNS (`detectable_with`);
    - `confusion`: its confusion matrix, runs and repeats pooled;
    - `groups`: {column: {value: UA as an Estimate}} for each of GROUPS in which clips differ;
    - `speakers`: the UA of each speaker, over the emotions of that speaker;
    - `calibration`: see `calibration.describe`; None for predictions without probabilities;
    - `ensemble`, with several runs: `overall`, `corpora` and `against` of the mean probability over runs, compared with
      the ensembles of the other arms.

    Raises InputError where the arms were not tested on the same clips in the same runs.
    """
    class_names = list(class_names)
    _check_same_clips(predictions)
    predictions = {
        arm: table.sort_values(["repeat", "run", "clip"], ignore_index=True) for arm, table in predictions.items()
    }
    counts: dict[str, np.ndarray] = {}
    for arm, table in predictions.items():
        counts[arm], speakers = confusions(table, catalogue, class_names)
    any_predictions = next(iter(predictions.values()))
    clips = catalogue.set_index("clip").loc[any_predictions["clip"].unique()]
    n_runs = any_predictions["run"].nunique()
    comparison = _Comparison(class_names, speakers, n_runs, resamples, seed)

    arms = comparison.compare(counts)
    for arm, table in predictions.items():
        has_probabilities = set(class_names) <= set(table)
        arms[arm] |= {
            "confusion": counts[arm].sum(axis=(0, 1)).tolist(),
            "groups": comparison.groups(table, catalogue),
            "speakers": comparison.by_speaker(counts[arm]),
            "calibration": calibration.describe(table, class_names) if has_probabilities else None,
        }
    if n_runs > 1:
        ensembles = {arm: ensemble(table, class_names) for arm, table in predictions.items()}
        counts = {arm: confusions(table, catalogue, class_names)[0] for arm, table in ensembles.items()}
        for arm, metrics in comparison.compare(counts).items():
            arms[arm]["ensemble"] = metrics

    details = {
        "protocol": protocol,
        "leaks": protocol == "random",
        "emotions": class_names,
        "resamples": resamples,
        "seed": seed,
        "clips": len(clips),
        "speakers": len(speakers),
        "repeats": int(any_predictions["repeat"].nunique()),
        "runs": n_runs,
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


def ensemble(predictions: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """The predictions of the mean probability over runs, one row per (repeat, clip), as a table with one run."""
    class_names = list(class_names)
    clips = predictions.groupby(["repeat", "clip"])
    table = clips[["emotion"]].first().join(clips[class_names].mean()).reset_index()
    return table.assign(run=0, predicted=np.take(class_names, table[class_names].to_numpy().argmax(axis=1)))


def _check_same_clips(predictions: Mapping[str, pd.DataFrame]) -> None:
    tested = {
        arm: set(zip(table["repeat"], table["run"], table["clip"], strict=True)) for arm, table in predictions.items()
    }
    tested_by_any = set.union(*tested.values())
    for arm, clips in tested.items():
        if clips != tested_by_any:
            repeat, run, clip = min(tested_by_any - clips)
            raise InputError(
                f"arm '{arm}' has no prediction of clip '{clip}' in repeat {repeat}, run {run}, "
                "which another arm has; arms are compared on the same clips: run `dvc repro`"
            )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


class _Comparison:
    """The speakers and the resamples that all arms share."""

    def __init__(
        self,
        class_names: list[str],
        speakers: pd.DataFrame,  # from `confusions`
        n_runs: int,
        resamples: int,
        seed: int,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.class_names = class_names
        self.speakers = speakers
        self.draws = resample(speakers["corpus"], resamples, rng).astype(float)  # faster to multiply
        self.run_draws = draw_runs(n_runs, resamples, rng)
        self.freedom = len(speakers) - speakers["corpus"].nunique()

    def compare(self, counts: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
        """`overall`, `corpora` and `against` of each arm, from its counts of `confusions`."""
        scopes = {"overall": np.arange(len(self.speakers))}
        scopes |= {corpus: members.to_numpy() for corpus, members in self.speakers.groupby("corpus").groups.items()}
        samples_of = {
            arm: {scope: self._samples(arm_counts[:, members], members) for scope, members in scopes.items()}
            for arm, arm_counts in counts.items()
        }
        arms: dict[str, dict[str, Any]] = {}
        for arm, by_scope in samples_of.items():
            estimates = {scope: self._estimates(metrics) for scope, metrics in by_scope.items()}
            ua = by_scope["overall"]["ua"].observed
            run_sd = round(float(ua.std(ddof=1)), 6) if len(ua) > 1 else None
            arms[arm] = {
                "overall": estimates.pop("overall") | {"run_sd": run_sd},
                "corpora": estimates,
                "against": {},
            }
        for reference, others in comparisons(list(counts)).items():
            differences = {
                arm: {
                    scope: {metric: metrics[metric] - samples_of[reference][scope][metric] for metric in METRICS}
                    for scope, metrics in samples_of[arm].items()
                }
                for arm in others
            }
            p_values = [p_value(differences[arm]["overall"]["ua"], self.freedom) for arm in others]
            for arm, raw, corrected in zip(others, p_values, holm(p_values), strict=True):
                difference = differences[arm]["overall"]["ua"]
                estimates = {scope: self._differences(metrics) for scope, metrics in differences[arm].items()}
                arms[arm]["against"][reference] = {
                    **estimates.pop("overall"),
                    "p": round(raw, 6),
                    "p_corrected": round(float(corrected), 6),
                    "detectable": _rounded(detectable(difference)),
                    "detectable_with": {
                        str(runs): _rounded(detectable_with(runs, difference)) for runs in PLANNED_RUNS
                    },
                    "corpora": estimates,
                }
        return arms

    def groups(self, predictions: pd.DataFrame, catalogue: pd.DataFrame) -> dict[str, dict[str, Estimate]]:
        """The UA of an arm on the clips of each group."""
        all_speakers = pd.MultiIndex.from_frame(self.speakers)
        groups: dict[str, dict[str, Estimate]] = {}
        for column in GROUPS:
            group_of_clip = catalogue.set_index("clip")[column].loc[predictions["clip"]].to_numpy()
            values = sorted(set(group_of_clip))
            for value in values if len(values) > 1 else []:
                counts, speakers = confusions(predictions[group_of_clip == value], catalogue, self.class_names)
                members = all_speakers.get_indexer(pd.MultiIndex.from_frame(speakers))
                sample = self._samples(counts, members)["ua"]
                groups.setdefault(column, {})[value] = estimate(sample, self.run_draws)
        return groups

    def by_speaker(self, counts: np.ndarray) -> dict[str, float]:
        ua = classification_metrics(counts)["ua"].mean(axis=0)
        return dict(zip(self.speakers["speaker"], ua.round(6).tolist(), strict=True))

    def _samples(self, counts: np.ndarray, members: np.ndarray) -> dict[str, Sample]:
        alone = self.speakers["corpus"].iloc[members].is_unique  # single speakers: nothing to draw from
        return samples(counts, self.draws[: 0 if alone else None, members])

    def _estimates(self, metrics: Mapping[str, Sample]) -> dict[str, Any]:
        estimates: dict[str, Any] = {metric: estimate(metrics[metric], self.run_draws) for metric in METRICS}
        recall = metrics["recall"]
        estimates["recall"] = {
            class_name: estimate(Sample(recall.observed[:, label], recall.resampled[..., label]), self.run_draws)
            for label, class_name in enumerate(self.class_names)
            if np.isfinite(recall.observed[:, label]).all()
        }
        return estimates

    def _differences(self, metrics: Mapping[str, Sample]) -> dict[str, Any]:
        return {metric: estimate(sample, self.run_draws, lowest=-1.0) for metric, sample in metrics.items()}
