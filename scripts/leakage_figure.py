"""The leakage study as one picture: how much each arm gains when the test speakers are also in training."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scripts import study_tables
from ser.evaluation.statistics import Estimate
from ser.reporting import figures, tables

HONEST, LEAKING, ARROW = figures.COLOURS[1], figures.COLOURS[2], figures.COLOURS[0]


@figures.styled
def picture(apart: study_tables.Details, random: study_tables.Details) -> Figure:
    """Draw the UA of each arm with speakers apart and under a random split, with an arrow from one to the other.

    `apart` and `random` are the details of both runs.
    """
    pairs = study_tables.inflation(apart, random)
    figure = Figure(figsize=(figures.WIDTH, 1.9 + 0.7 * len(pairs)), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(pairs)), pairs)
    axes.set_ylim(len(pairs) - 0.45, -0.75)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(figures.per_cent)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.set_xlabel("emotions recognised (UA: mean recall over emotions)")
    axes.grid(axis="x")
    for row, (honest, leaking) in enumerate(pairs.values()):
        _side(axes, honest, row, HONEST, "o", "unseen test speakers: honest")
        _side(axes, leaking, row, LEAKING, "D", "test speakers also in training: leaks")
        _arrow(axes, honest["value"], leaking["value"], row - 0.25, ": test speakers also in training" * (row == 0))
    figures.legend(axes)
    return figures.titled(
        figure,
        "The same models, the same clips: a random split flatters, speakers apart is honest",
        f"Bars: 95 % intervals {tables.sampled(apart)}; chance {100 / len(apart['emotions']):.1f} %. "
        f"{apart['clips']:,} clips of {apart['speakers']} speakers. A random split puts other clips of the test "
        "speakers into training: the model learns their voices, which it cannot do for new people.",
    )


def _side(axes: Axes, estimate: Estimate, row: int, colour: str, marker: str, label: str) -> None:
    figures.interval(axes, estimate, row, colour, marker, size=9, width=2, label=label, horizontal=True)
    axes.annotate(
        f"{100 * estimate['value']:.1f}",
        (estimate["value"], row),
        xytext=(0, -15),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        fontweight="bold",
        color=colour,
    )


def _arrow(axes: Axes, start: float, end: float, height: float, reason: str) -> None:
    axes.annotate(
        "",
        (end, height),
        (start, height),
        arrowprops={"arrowstyle": "-|>", "color": ARROW, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0},
    )
    axes.annotate(
        f"{100 * (end - start):+.0f} points{reason}",
        ((start + end) / 2, height),
        xytext=(0, 5),
        textcoords="offset points",
        ha="center",
        fontsize=8.5,
        color=ARROW,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0},
    )
