"""The comparison of arms, and the quality of synthetic clips, as Markdown tables."""

from ser.evaluation.metrics import METRICS
from ser.evaluation.statistics import comparisons

PROTOCOLS = {
    "speaker": "speakers apart",
    "loso": "one speaker left out at a time",
    "text": "sentences apart, speakers shared (leaks voices)",
    "speaker_text": "speakers and sentences apart",
    "cross_corpus": "one corpus left out at a time",
    "random": "random split (leaks: test speakers are in training)",
}


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


def table(details, arms=()):
    """The comparison as a Markdown table, one row per arm, in per cent, with its caption below.

    `arms` are all arms of the study; those without results have a row that says so.
    """
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
    rows += [[arm, "not run yet", *[""] * (len(rows[0]) - 2)] for arm in arms if arm not in details["arms"]]
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
