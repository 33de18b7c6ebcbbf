"""How well each arm recognises emotion: figures, intervals over speakers, paired differences between arms.

The sufficient statistic is one confusion matrix a speaker. Speakers are the sample and corpora are fixed, so
an interval comes from drawing speakers with replacement within each corpus, and a paired test from swapping
two arms speaker by speaker.
"""

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from ser.errors import InputError
from ser.params import Section

METRICS = ("ua", "wa", "f1")
REFERENCES = ("baseline", "masked")
PROTOCOLS = {
    "speaker": "speakers apart",
    "loso": "one speaker left out at a time",
    "text": "sentences apart, speakers shared (leaks voices)",
    "speaker_text": "speakers and sentences apart",
    "cross_corpus": "one corpus left out at a time",
    "random": "random split (leaks: test speakers are in training)",
}
# What a test clip was enhanced under.
CONDITIONS = {"true_label": "true label (leaks)", "predicted_label": "predicted label", "no_label": "no label"}
ENHANCED_NOTE = (
    "Test clips noised and denoised by a generator under an emotion, then recognised by the baseline, beside the "
    "baseline on the clips as recorded. The true label leaks: what is measured is how well it was planted."
)
# Of synthetic clips: title, factor, decimals, and which way is better.
QUALITY = {
    "frechet": ("Fréchet", 1, 1, "lower"),
    "kernel": ("kernel", 1, 3, "lower"),
    "precision": ("precision %", 100, 1, "higher"),
    "recall": ("recall %", 100, 1, "higher"),
    "density": ("density", 1, 2, "higher"),
    "coverage": ("coverage %", 100, 1, "higher"),
    "recognised": ("recognised %", 100, 1, "higher"),
    "trained": ("trained, UA %", 100, 1, "higher"),
    "distance": ("nearest", 1, 2, ""),
    "ratio": ("ratio", 1, 3, ""),
    "copied": ("copied %", 100, 1, "lower"),
}
QUALITY_NOTE = (
    "Means over folds. Fréchet to coverage: beside as many held-out clips, as the fold's baseline embeds them. "
    "Recognised: as the emotion they were drawn for, by that baseline. Trained: of a classifier that learnt from these "
    "clips alone, on held-out ones. Nearest: median distance to a training clip, in standard deviations of a mel band; "
    "ratio: of that distance to the second-nearest clip's, low for a copy; copied: share with a ratio as low as 1 % of "
    "held-out clips have. Real: training clips; for recognised and from nearest on, held-out ones."
)


class Comparison(Section):
    arms: list[str]
    generators: list[str]
    enhanced: list[str]
    resamples: int = Field(gt=0)

    @field_validator("arms")
    @classmethod
    def _with_baseline(cls, arms):
        if "baseline" not in arms:
            raise ValueError("must hold `baseline`, from which embeddings and differences are taken")
        return arms


def read_predictions(path, emotions):
    """Out-of-fold predictions of one arm: `repeat, fold, clip, emotion, predicted` and a probability an
    emotion.

    Raises InputError naming the file and the line where a column is missing, an emotion is unknown,
    probabilities are not finite, not in 0..1 or do not sum to 1 (within 1e-3), `predicted` is not the most
    probable emotion, or a (repeat, clip) comes twice.
    """
    emotions = list(emotions)
    table = _read(
        path, ["repeat", "fold", "clip", "emotion", "predicted", *emotions], numeric=["repeat", "fold", *emotions]
    )
    probability = table[emotions].to_numpy()
    for column in ("emotion", "predicted"):
        _refuse(path, ~table[column].isin(emotions), f"{column} is not one of {', '.join(emotions)}")
    _refuse(path, ((probability < 0) | (probability > 1)).any(axis=1), "a probability lies outside 0..1")
    _refuse(path, abs(probability.sum(axis=1) - 1) > 1e-3, "the probabilities do not sum to 1")
    chosen = probability[np.arange(len(table)), table["predicted"].map(emotions.index)]
    _refuse(path, chosen < probability.max(axis=1), "predicted is not the most probable emotion")
    _refuse(path, table.duplicated(["repeat", "clip"]), "this clip was already predicted in this repeat")
    return table


def read_curves(path):
    """Learning curves of one arm: `repeat, fold, epoch, train_loss, validation_loss, validation_ua`."""
    columns = ["repeat", "fold", "epoch", "train_loss", "validation_loss", "validation_ua"]
    table = _read(path, columns, numeric=columns)
    _refuse(path, table.duplicated(["repeat", "fold", "epoch"]), "this epoch of this fold was already listed")
    return table


def _read(path, columns, numeric):
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable CSV file ({error})") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; expected {', '.join(columns)}")
    if table.empty:
        raise InputError(f"{path}: holds no rows; run the stage that writes it again")
    for column in numeric:
        table[column] = pd.to_numeric(table[column], errors="coerce")
        _refuse(path, ~np.isfinite(table[column]), f"{column} is not a finite number")
    return table


def _refuse(path, wrong, why):
    wrong = np.asarray(wrong)
    if wrong.any():
        raise InputError(f"{path}, line {wrong.argmax() + 2}: {why}; run the stage that writes it again")


def confusions(predictions, catalogue, emotions):
    """Confusion matrices by speaker, repeats pooled.

    Returns (counts, speakers): int [speakers, true emotion, predicted emotion], and a table `speaker, corpus`
    in the same order, sorted by corpus and speaker. Raises InputError for a clip that is not in the catalogue
    or has another emotion there.
    """
    clips = catalogue.set_index("clip").reindex(predictions["clip"])
    wrong = clips["emotion"].to_numpy() != predictions["emotion"].to_numpy()
    if wrong.any():
        row = predictions.iloc[wrong.argmax()]
        raise InputError(
            f"predictions hold clip '{row['clip']}' with emotion {row['emotion']}, "
            "the catalogue does not; run `dvc repro` to bring both up to date"
        )
    owners = pd.MultiIndex.from_frame(clips[["corpus", "speaker"]])
    order = owners.unique().sort_values()
    labels = pd.Index(emotions)
    cells = (
        order.get_indexer(owners),
        labels.get_indexer(predictions["emotion"]),
        labels.get_indexer(predictions["predicted"]),
    )
    counts = np.zeros((len(order), len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, cells, 1)
    return counts, order.to_frame(index=False)[["speaker", "corpus"]]


def metrics(counts):
    """UA, WA, macro-F1 and recall of confusion matrices [..., true, predicted].

    UA is the mean recall (balanced accuracy) and WA the accuracy; UA and F1 are means over the emotions that
    occur as truth. Returns {"ua", "wa", "f1": [...], "recall": [..., emotions]}; the recall of an absent
    emotion is NaN.
    """
    correct = np.diagonal(counts, axis1=-2, axis2=-1)
    true, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    with np.errstate(invalid="ignore"):
        recall = correct / true
        f1 = np.where(true > 0, 2 * correct / (true + predicted), np.nan)
    return {
        "ua": np.nanmean(recall, axis=-1),
        "wa": correct.sum(axis=-1) / true.sum(axis=-1),
        "f1": np.nanmean(f1, axis=-1),
        "recall": recall,
    }


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


def compare(predictions, catalogue, emotions, protocol, resamples=10_000, seed=0):
    """Compare arms that predicted the same clips.

    `predictions`: {arm: table as of `read_predictions`}. Returns (summary, details), plain values rounded to
    6 decimals: summary is {arm: {"ua", "wa", "f1"}}; details holds for each arm its figures with 95 %
    intervals, overall and by corpus, its pooled confusion matrix, and its paired differences from baseline
    and from masked, each as {"value", "low", "high"}. p values are of the difference in UA, corrected over
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
    """{reference: arms compared with it}: all others with baseline, all but baseline with masked."""
    rest = [arm for arm in arms if arm not in REFERENCES]
    families = {"baseline": ["masked", *rest] if "masked" in arms else rest, "masked": rest}
    return {reference: others for reference, others in families.items() if reference in arms}


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
    return metrics(counts.sum(axis=0)), metrics(pooled)


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


def runs(history, column):
    """One curve a run of training, [epoch, (repeat, fold)]; a run that stopped early keeps its last value."""
    return history.pivot(index="epoch", columns=["repeat", "fold"], values=column).sort_index().ffill()


def learning_curves(histories):
    """Mean validation UA over folds and repeats, the table `arm,epoch,ua`, of {arm: as of `read_curves`}."""
    curves = {arm: runs(history, "validation_ua").mean(axis=1) for arm, history in histories.items()}
    return pd.concat(curves, names=["arm", "epoch"]).rename("ua").reset_index().astype({"epoch": int})


def caption(details):
    """What the figures were measured on, in a sentence or two."""
    parts = details["corpora"]
    corpora = ", ".join(f"{name} {part['speakers']}" if len(parts) > 1 else name for name, part in parts.items())
    repeats = f", {details['repeats']} repeats" if details["repeats"] > 1 else ""
    text = (
        f"{details['clips']:,} clips of {details['speakers']} speakers ({corpora}){repeats}; "
        f"{PROTOCOLS[details['protocol']]}."
    )
    if "demo" in parts:
        text += " Demo corpus (synthetic voices): shows that everything works, says nothing about people."
    return text


def table(details):
    """The comparison as a Markdown table, one row an arm, in per cent, with its caption below."""
    references = [reference for reference, others in comparisons(list(details["arms"])).items() if others]
    rows = [["arm", "UA", "WA", "F1", *(f"UA vs {name}" for name in references)]]
    for arm, figures in details["arms"].items():
        against = [figures["against"].get(name) for name in references]
        rows.append(
            [
                arm,
                *(percent(figures["overall"][metric]) for metric in METRICS),
                *(
                    f"{percent(entry['ua'], '+')}, p {p_value(entry['p_corrected'])}" if entry else ""
                    for entry in against
                ),
            ]
        )
    note = "Per cent [95 % interval over speakers]"
    if references:
        note += "; UA vs: paired difference in points, p by permutation over speakers, Holm-corrected"
    return f"{markdown(rows)}\n\n{caption(details)} {note}."


def quality_table(quality):
    """The quality of synthetic clips as a Markdown table, one row a generator, with its caption below, from
    `{generator: as of metrics/quality/<generator>.json}`; above them the reference of the first (the others' differ
    only if they have other numbers of clips)."""
    sides = {"real": next(iter(quality.values()))["reference"]}
    sides |= {generator: result["synthetic"] for generator, result in quality.items()}
    rows = [["clips", *(title for title, *_ in QUALITY.values())]]
    for name, side in sides.items():
        rows.append(
            [
                name,
                *(
                    "" if side[key] is None else f"{factor * side[key]:.{decimals}f}"
                    for key, (_, factor, decimals, _) in QUALITY.items()
                ),
            ]
        )
    return f"{markdown(rows)}\n\n{QUALITY_NOTE}"


def markdown(rows):
    widths = [max(map(len, column)) for column in zip(*rows)]
    rows = [rows[0], ["-" * width for width in widths], *rows[1:]]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows)


def percent(estimate, sign=""):
    """An estimate with its interval, in per cent."""
    value, low, high = (
        None if x is None else f"{round(100 * x, 1) + 0.0:{sign}.1f}"  # + 0.0: no -0.0
        for x in estimate.values()
    )
    return value if low is None else f"{value} [{low}, {high}]"


def p_value(p):
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
