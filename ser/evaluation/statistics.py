"""How well each arm recognises emotion: intervals over speakers, paired differences between arms.

The sufficient statistic is one confusion matrix a speaker. Speakers are the sample and corpora are fixed, so
an interval comes from drawing speakers with replacement within each corpus, and a paired test from swapping
two arms speaker by speaker.
"""

import numpy as np
from pydantic import Field, field_validator

from ser.core.errors import InputError
from ser.core.params import Config
from ser.evaluation.metrics import METRICS, classification_metrics, confusions

REFERENCES = ("baseline", "augmented")  # arms that the others are compared with


class StudyConfig(Config):
    arms: list[str]
    generators: list[str]
    build_on: str
    enhanced: list[str]
    resamples: int = Field(gt=0)

    @field_validator("arms")
    @classmethod
    def _with_baseline(cls, arms):
        if "baseline" not in arms:
            raise ValueError("must hold `baseline`, from which embeddings and differences are taken")
        return arms


def resample(corpora, resamples, rng):
    """How often each speaker is drawn: int [resamples, speakers], with replacement within each corpus.

    The stratified bootstrap; Efron & Tibshirani, An Introduction to the Bootstrap, 1993 (percentile
    intervals: ch. 13).
    """
    corpora = np.asarray(corpora)
    draws = np.empty((resamples, len(corpora)), dtype=np.int64)
    for corpus in np.unique(corpora):
        members = np.flatnonzero(corpora == corpus)
        size = len(members)
        draws[:, members] = rng.multinomial(size, np.full(size, 1 / size), size=resamples)
    return draws


def permutation_p(ours, theirs, signs):
    """Two-sided p value of the difference in UA of two arms, from swapping their confusions by speaker.

    `ours`, `theirs`: [speakers, E, E] over the same clips; `signs`: +-1 [draws, speakers]. As both arms saw
    the same clips, the difference is a sum of one term a speaker, and a swap turns the sign of that term. One
    is added to both counts so that p is never 0 (Phipson & Smyth, Stat Appl Genet Mol Biol 9(1), 2010).
    """
    true = theirs.sum(axis=(0, 2))
    gain = np.diagonal(ours - theirs, axis1=1, axis2=2)[:, true > 0] / true[true > 0]
    gain = gain.mean(axis=1)
    extreme = np.abs(signs @ gain) >= np.abs(gain.sum()) - 1e-12
    return (1 + extreme.sum()) / (1 + len(signs))


def holm(p):
    """p values corrected by Holm's step-down method (Scand J Statist 6, 1979), in the order given."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return corrected


def compare_arms(predictions, catalogue, emotions, protocol, resamples=10_000, seed=0):
    """Compare arms that predicted the same clips.

    `predictions`: {arm: table as of `read_predictions`}. Returns (summary, details), plain values rounded to
    6 decimals: summary is {arm: {"ua", "wa", "f1"}}; details holds for each arm its figures with 95 %
    intervals, overall and by corpus, its pooled confusion matrix, and its paired differences from baseline
    and from augmented, each as {"value", "low", "high"}. p values are of the difference in UA, corrected over
    the arms compared with the same reference. An interval is None where there is no second speaker to draw.
    Raises InputError where the arms were not tested on the same clips.
    """
    emotions = list(emotions)
    _same_clips(predictions)
    counts = {}
    for arm, table in predictions.items():
        counts[arm], speakers = confusions(table, catalogue, emotions)
    rng = np.random.default_rng(seed)
    draws = resample(speakers["corpus"], resamples, rng)
    signs = rng.choice([-1, 1], size=(resamples, len(speakers)))
    scopes = {"overall": np.full(len(speakers), True)}
    scopes |= {corpus: (speakers["corpus"] == corpus).to_numpy() for corpus in speakers["corpus"].unique()}
    scores = {
        arm: {scope: _draw(table[members], draws[:, members]) for scope, members in scopes.items()}
        for arm, table in counts.items()
    }

    arms = {}
    for arm, table in counts.items():
        figures = {scope: _figures(*scores[arm][scope], emotions) for scope in scopes}
        arms[arm] = {
            "overall": figures.pop("overall"),
            "corpora": figures,
            "confusion": table.sum(axis=0).tolist(),
            "against": {},
        }
    for reference, others in comparisons(list(counts)).items():
        p = [permutation_p(counts[arm], counts[reference], signs) for arm in others]
        for arm, raw, corrected in zip(others, p, holm(p)):
            differences = {scope: _differences(scores[arm][scope], scores[reference][scope]) for scope in scopes}
            arms[arm]["against"][reference] = {
                **differences.pop("overall"),
                "p": round(float(raw), 6),
                "p_corrected": round(float(corrected), 6),
                "corpora": differences,
            }

    some = next(iter(predictions.values()))
    owners = catalogue.set_index("clip").loc[some["clip"].unique()]
    details = {
        "protocol": protocol,
        "leaks": protocol == "random",
        "emotions": emotions,
        "resamples": resamples,
        "seed": seed,
        "clips": len(owners),
        "speakers": len(speakers),
        "repeats": int(some["repeat"].nunique()),
        "corpora": {
            corpus: {"clips": len(rows), "speakers": int(rows["speaker"].nunique())}
            for corpus, rows in owners.groupby("corpus")
        },
        "arms": arms,
    }
    summary = {arm: {metric: arms[arm]["overall"][metric]["value"] for metric in METRICS} for arm in arms}
    return summary, details


def comparisons(arms):
    """The arms compared with each reference: all others with baseline, all but baseline with augmented."""
    return {
        reference: [arm for arm in arms if arm not in ("baseline", reference)]
        for reference in REFERENCES
        if reference in arms
    }


def _same_clips(predictions):
    tested = {arm: set(zip(table["repeat"], table["clip"])) for arm, table in predictions.items()}
    everything = set.union(*tested.values())
    for arm, clips in tested.items():
        if clips != everything:
            repeat, clip = min(everything - clips)
            raise InputError(
                f"arm '{arm}' has no prediction of clip '{clip}' in repeat {repeat}, "
                "which another arm has; arms are compared on the same clips: run `dvc repro`"
            )


def _draw(counts, draws):
    """(figures of all speakers, figures of each resample); no resamples where there is nothing to draw
    from."""
    speakers, size, _ = counts.shape
    if (draws == 1).all():
        draws = draws[:0]
    pooled = (draws @ counts.reshape(speakers, -1)).reshape(-1, size, size)
    return classification_metrics(counts.sum(axis=0)), classification_metrics(pooled)


def _figures(value, drawn, emotions):
    figures = {metric: _estimate(value[metric], drawn[metric]) for metric in METRICS}
    figures["recall"] = {
        emotion: _estimate(value["recall"][i], drawn["recall"][:, i])
        for i, emotion in enumerate(emotions)
        if np.isfinite(value["recall"][i])
    }
    return figures


def _differences(ours, theirs):
    return {
        metric: _estimate(ours[0][metric] - theirs[0][metric], ours[1][metric] - theirs[1][metric])
        for metric in METRICS
    }


def _estimate(value, drawn):
    drawn = drawn[np.isfinite(drawn)]
    low = high = None
    if drawn.size:
        low, high = np.percentile(drawn, [2.5, 97.5]).round(6).tolist()
    return {"value": round(float(value), 6), "low": low, "high": high}
