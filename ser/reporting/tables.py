"""The comparison of arms and the quality of synthetic clips as Markdown tables.

`details` is what metrics/details.json holds (see `compare_arms`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ser.evaluation.metrics import METRICS
from ser.evaluation.resampling import Estimate
from ser.evaluation.statistics import comparisons

PROTOCOLS = {
    "speaker": "speakers apart",
    "loso": "one speaker left out at a time",
    "text": "sentences apart, speakers shared (leaks voices)",
    "speaker_text": "speakers and sentences apart",
    "cross_corpus": "one corpus left out at a time",
    "given": "speakers apart, folds given by a file",
    "random": "random split (leaks: test speakers are in training)",
}

ENHANCED_NOTE = (
    "The baseline on test clips as recorded, and on the same clips after a generator has noised and denoised them, "
    "conditioned on an emotion or on none. The true label leaks: its row measures how well the generator imposes that "
    "label."
)

FUSED_NOTE = (
    "A generator itself recognises a clip as the emotion under which it denoises it best (Li et al. 2023, arXiv "
    "2303.16203). +: probabilities of two recognisers, multiplied. Fusing the network with a second network is the "
    "control."
)

# Metrics of synthetic clips: title, factor, decimals, and which way is better.
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
QUALITY_NOTES = (
    "All metrics are means over folds.",
    "Fréchet, kernel: distances of the synthetic clips to equally many held-out clips, as embedded by the baseline of "
    "the fold.",
    "Precision, recall, density, coverage: how well the same two sets of embeddings cover each other.",
    "Recognised: share of the clips that this baseline recognises as the emotion that they were drawn for.",
    "Trained: UA on held-out clips of a classifier that was trained on these clips alone.",
    "Nearest: median distance to the nearest training clip, in standard deviations of a mel band.",
    "Ratio: median ratio of that distance to the distance to the second-nearest training clip; low for a copy.",
    "Copied: share of the clips with a ratio below the 1st percentile of held-out clips.",
    "Real: training clips in place of the synthetic ones; for recognised, nearest, ratio and copied, held-out clips.",
)


def caption(details: dict[str, Any]) -> str:
    """What the metrics were measured on, in a sentence or two."""
    corpora = details["corpora"]
    counts = (f"{name} {corpus['speakers']}" if len(corpora) > 1 else name for name, corpus in corpora.items())
    repeats = f", {details['repeats']} repeats" if details["repeats"] > 1 else ""
    runs = f", {n_runs(details)} runs" if n_runs(details) > 1 else ""
    text = (
        f"{details['clips']:,} clips of {details['speakers']} speakers ({', '.join(counts)}){repeats}{runs}; "
        f"{PROTOCOLS[details['protocol']]}."
    )
    if "demo" in corpora:
        text += " The voices of the demo are synthetic: it shows that everything works and says nothing about people."
    return text


def n_runs(details: dict[str, Any]) -> int:
    """The number of trainings of each arm on a fold; 1 for results that were kept before there could be several."""
    return details.get("runs", 1)


def sampled(details: dict[str, Any]) -> str:
    """What intervals and tests cover."""
    return "over speakers and runs" if n_runs(details) > 1 else "over speakers"


def table(details: dict[str, Any], arms: Sequence[str] = ()) -> str:
    """The comparison of arms as a Markdown table, one row per arm, followed by a list of the columns and the caption.

    With several runs, a second table has the ensemble of each arm. `arms` are all arms of the study, in order; those
    without results have a row that says so.
    """
    references = [reference for reference, others in comparisons(list(details["arms"])).items() if others]
    order = [*arms, *(arm for arm in details["arms"] if arm not in arms)]
    parts = [_arms("arm", {arm: details["arms"].get(arm) for arm in order}, references)]
    runs, scope = n_runs(details), sampled(details)
    test = "t" if "runs" in details else "permutation"  # results that were kept before there could be several runs
    mean = f", means over {runs} runs" if runs > 1 else ""
    notes = [
        "UA: unweighted accuracy, the mean recall over emotions. WA: accuracy. F1: mean F1 over emotions. "
        f"All in per cent [95 % interval {scope}]{mean}."
    ]
    if references:
        notes.append(
            f"UA vs: paired difference in points of UA [95 % interval], with the p value of a {test} test "
            f"{scope}, Holm-corrected."
        )
    if runs > 1:
        ensembles = {arm: details["arms"][arm]["ensemble"] for arm in order if arm in details["arms"]}
        parts.append(_arms(f"ensemble of {runs} runs", ensembles, references))
        notes.append(
            f"Ensemble of {runs} runs: the mean of their probabilities, compared with ensembles. Its intervals and p "
            "values are over speakers."
        )
    return "\n\n".join([*parts, _list(notes), caption(details)])


def _arms(title: str, arms: Mapping[str, dict[str, Any] | None], references: Sequence[str]) -> str:
    rows = [[title, "UA", "WA", "F1", *(f"UA vs {name}" for name in references)]]
    for arm, metrics in arms.items():
        if metrics is None:
            rows.append([arm, "not run yet", *[""] * (len(rows[0]) - 2)])
            continue
        differences = [metrics["against"].get(name) for name in references]
        rows.append(
            [
                arm,
                *(percent(metrics["overall"][metric]) for metric in METRICS),
                *(
                    f"{percent(difference['ua'], '+')}, p {p_value(difference['p_corrected'])}" if difference else ""
                    for difference in differences
                ),
            ]
        )
    return markdown(rows)


def sections(details: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """All tables of a run: the title of each, and its Markdown."""
    yield "Arms", table(details)
    yield "Women and men, intensities, corpora", groups_table(details["arms"])
    if details["quality"]:
        yield "Quality of the generated clips", quality_table(details["quality"])
    if len(details["enhanced"]["arms"]) > 1:
        yield "Enhanced test clips", enhanced_table(details)
    if len(details["fused"]["arms"]) > 1:
        yield "Generators as classifiers", fused_table(details)


def enhanced_table(details: dict[str, Any]) -> str:
    """The baseline on enhanced test clips, as `table`, with a note."""
    return f"{table(details['enhanced'])}\n\n{ENHANCED_NOTE}"


def fused_table(details: dict[str, Any]) -> str:
    """Generators as classifiers, as `table`, with a note."""
    return f"{table(details['fused'])}\n\n{FUSED_NOTE}"


def groups_table(arms: Mapping[str, dict[str, Any]]) -> str:
    """The UA of each arm for the clips of each group, as a Markdown table."""
    by_group = {
        arm: {"corpus": {corpus: metrics["ua"] for corpus, metrics in result["corpora"].items()}} | result["groups"]
        for arm, result in arms.items()
    }
    first = next(iter(by_group.values()))
    rows = [["", "clips of", *by_group]]
    for factor, values in first.items():
        for value in values:
            rows.append([factor, value, *(percent(groups[factor][value]) for groups in by_group.values())])
    note = "UA in per cent [95 % interval]. Emotions that a group does not have are left out of its mean."
    return f"{markdown(rows)}\n\n{note}"


def quality_table(quality: Mapping[str, dict[str, Any]]) -> str:
    """The quality of synthetic clips as a Markdown table, one row per generator, followed by a list of the columns.

    `quality` holds metrics/quality/<generator>.json of each generator. The first row is the reference of the first
    generator; those of the others differ only if they have other numbers of clips.
    """
    metrics_of = {"real": next(iter(quality.values()))["reference"]}
    metrics_of |= {generator: result["synthetic"] for generator, result in quality.items()}
    rows = [["clips", *(title for title, *_ in QUALITY.values())]]
    for name, metrics in metrics_of.items():
        rows.append(
            [
                name,
                *(
                    "" if metrics[key] is None else f"{factor * metrics[key]:.{decimals}f}"
                    for key, (_, factor, decimals, _) in QUALITY.items()
                ),
            ]
        )
    return f"{markdown(rows)}\n\n{_list(QUALITY_NOTES)}"


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its header."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    header, *body = rows
    lines = [header, ["-" * width for width in widths], *body]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)


def percent(estimate: Estimate, sign: str = "") -> str:
    """An estimate with its interval, in per cent; `sign` is "+" to show the sign of positive numbers too."""
    value, low, high = (_percent(estimate[key], sign) for key in ("value", "low", "high"))
    return value if estimate["low"] is None else f"{value} [{low}, {high}]"


def _percent(share: float | None, sign: str) -> str:
    return "" if share is None else f"{round(100 * share, 1) + 0.0:{sign}.1f}"  # + 0.0: no -0.0


def p_value(p: float) -> str:
    """A p value to three decimals."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
