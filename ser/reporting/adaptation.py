"""The speaker-adapted protocol as a figure and as Markdown tables.

`adapted` is what metrics/adapted.json holds (see `speaker_adapted`).
"""

from typing import Any, Literal

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from ser.evaluation.adaptation import METHODS, STRENGTHS
from ser.reporting import tables
from ser.reporting.figures import COLOURS, MARKERS, WIDTH, styled, titled

TITLES = {"mean": "mean log-posterior subtracted", "uniform": "mean posterior matched to uniform"}
AXES = {"pool_size": "other clips of the speaker in the pool", "pool_emotions": "emotions in the pool"}
LINES: dict[str, Literal["-", ":"]] = {"full": "-", "half": ":"}
NOT_COMPARABLE = (
    "Transductive: posteriors of a test clip are corrected by other test clips of its speaker. Not comparable with the "
    "headline, in which every clip is recognised on its own."
)
CORRECTIONS_NOTES = (
    "All in points or per cent of UA, the mean over runs [95 % interval over speakers]; full and half: strength of the "
    "correction.",
    "Uncorrected: UA of the posteriors as they are. All other columns: the paired difference from it.",
    "Mean: without the mean log-posterior over all other clips of the speaker. Uniform: the mean posterior over these "
    "clips matched to uniform. Both gain from test sets in which the emotions of a speaker are balanced.",
)
POOLS_NOTE = (
    "Differences in points of UA from the uncorrected posteriors, by pool: so many random other clips of the speaker, "
    "or all other clips of so many emotions: that of the clip, and random ones."
)


def table(adapted: dict[str, Any]) -> str:
    """The corrections by all other clips and by enrolment, and the gain by pool, followed by what the columns are."""
    corrections, pools = _corrections(adapted["arms"]), _pools(adapted["arms"])
    notes = "\n".join(f"- {note}" for note in (*CORRECTIONS_NOTES, _enrolment_note(adapted)))
    return (
        f"{NOT_COMPARABLE}\n\n{tables.markdown(corrections)}\n\n{notes}\n\n"
        f"{tables.markdown(pools)}\n\n- {POOLS_NOTE}\n\n{tables.caption(adapted)}"
    )


def _corrections(arms: dict[str, Any]) -> list[list[str]]:
    header = ["arm", "uncorrected", *(f"{method}, {strength}" for method in METHODS for strength in STRENGTHS)]
    header += ["not enrolled, uncorrected", *(f"enrolment, {strength}" for strength in STRENGTHS)]
    rows = [header]
    for arm, results in arms.items():
        by_pool = results["pool_size"]
        corrected = [by_pool[method][strength]["all"] for method in METHODS for strength in STRENGTHS]
        row = [arm, tables.percent(results["uncorrected"]["ua"]), *(_difference(result) for result in corrected)]
        if results["enrolment"]:
            row.append(tables.percent(results["enrolment"]["uncorrected"]["ua"]))
            row += [_difference(results["enrolment"][strength]) for strength in STRENGTHS]
        rows.append(row + [""] * (len(header) - len(row)))
    return rows


def _pools(arms: dict[str, Any]) -> list[list[str]]:
    rows: list[list[str]] = []
    for arm, results in arms.items():
        for method in METHODS:
            for strength in STRENGTHS:
                by_size, by_emotions = (results[kind][method][strength] for kind in AXES)
                skewed = {amount: result for amount, result in by_emotions.items() if amount != "all"}
                if not rows:
                    rows.append(["arm", "correction", *(f"{amount} clips" for amount in by_size)])
                    rows[0] += [f"{amount} emotion{'s' * (amount != '1')}" for amount in skewed]
                differences = [result["difference"] for result in (*by_size.values(), *skewed.values())]
                values = [
                    tables.percent({"value": each["value"], "low": None, "high": None}, "+") for each in differences
                ]
                rows.append([arm, f"{method}, {strength}", *values])
    return rows


def _difference(result: dict[str, Any]) -> str:
    return tables.percent(result["difference"], "+")


def _enrolment_note(adapted: dict[str, Any]) -> str:
    enrolment = adapted["enrolment"]
    clips = f"{enrolment['clips']} clips labelled {enrolment['emotion']}"
    if not enrolment["speakers"]:
        return f"Enrolment: no speaker has {clips} and others to test, in a study with other folds to refer to."
    left_out = f" Without them, and left out: {', '.join(enrolment['left_out'])}." if enrolment["left_out"] else ""
    return (
        f"Enrolment: {clips} of the speaker, which are not tested, show the bias: their mean log-posterior minus that "
        f"of speakers of the other folds.{left_out}"
    )


@styled
def figure(adapted: dict[str, Any]) -> Figure:
    """The difference in UA by size and by skew of the pool, one row per method, one line per arm and strength."""
    arms = adapted["arms"]
    drawing = Figure(figsize=(WIDTH, 6.4), layout="constrained")
    grid = drawing.subplots(len(METHODS), len(AXES), sharex="col", sharey="col", width_ratios=[3, 2])
    for row, method in zip(grid, METHODS, strict=True):
        for axes, kind in zip(row, AXES, strict=True):
            for index, results in enumerate(arms.values()):
                for strength, line in LINES.items():
                    curve = results[kind][method][strength]
                    axes.plot(
                        list(curve),
                        [result["difference"]["value"] for result in curve.values()],
                        line + MARKERS[index % len(MARKERS)],
                        color=COLOURS[index % len(COLOURS)],
                        markersize=4,
                        linewidth=1.3,
                    )
            axes.axhline(0, color="#808080", linewidth=0.8)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:+g}"))
            axes.grid(axis="y")
        row[0].set_title(TITLES[method], loc="left")
        row[0].set_ylabel("points of UA over uncorrected")
    for axes, label in zip(grid[-1], AXES.values(), strict=True):
        axes.set_xlabel(label)
    handles = [
        Line2D(
            [], [], color=COLOURS[index % len(COLOURS)], marker=MARKERS[index % len(MARKERS)], markersize=4, label=arm
        )
        for index, arm in enumerate(arms)
    ]
    handles += [Line2D([], [], color="#404040", linestyle=line, label=strength) for strength, line in LINES.items()]
    drawing.legend(handles=handles, loc="outside right upper", handlelength=1.8)
    caption = f"{NOT_COMPARABLE} The scales of the two columns differ. {tables.caption(adapted)}"
    return titled(drawing, "Speaker-adapted protocol: gain by pool", caption)
