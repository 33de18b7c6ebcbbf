"""Figures of the comparison of arms, and of synthetic clips next to real ones.

Each function returns a Figure; `save` writes it. `details` is what metrics/details.json holds (see `compare_arms`).
"""

import textwrap
from collections.abc import Collection, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ser.audio.mel_scale import frequencies
from ser.core.atomic import replacing
from ser.evaluation.predictions import curves_by_run
from ser.evaluation.resampling import Estimate
from ser.reporting import tables

# Okabe & Ito, Color Universal Design, 2008, without yellow, which is too faint on white.
COLOURS = ("#4D4D4D", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "D", "^", "v", "p", "h")
# Tol, Colour Schemes, 2021: the scheme muted, with black in place of sand, which is too faint on white.
MANY_COLOURS = ("#CC6677", "#332288", "#117733", "#000000", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499")
KINDS = {"training": ("o", True), "held-out": ("^", True), "synthetic": ("s", False)}  # marker, hollow
WIDTH = 8.0  # inches
LEAST_SHARE = 0.01  # of the clips, in a bin of confidence that is drawn
STYLE: dict[Any, Any] = {
    "figure.dpi": 160,
    "savefig.dpi": 160,
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#808080",
    "axes.linewidth": 0.8,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.axisbelow": True,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.color": "#404040",
    "ytick.color": "#404040",
    "grid.color": "#E0E0E0",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
styled = matplotlib.rc_context(STYLE)
MelsByEmotion = Mapping[str, Sequence[np.ndarray]]  # mels [n_mels, frames] in dB
Value = TypeVar("Value")


def save(figure: Figure, path: Path | str) -> None:
    """Write a figure as PNG; equal figures give equal bytes."""
    with replacing(path) as temporary, matplotlib.rc_context(STYLE):
        figure.savefig(temporary, format="png", metadata={"Software": None})


def ua(details: dict[str, Any]) -> Figure:
    """UA of each arm with its interval, overall and below that by corpus."""
    return _ua(details, "Unweighted accuracy (mean recall over emotions) of each arm")


def enhanced(details: dict[str, Any]) -> Figure:
    """UA of the baseline on test clips as recorded and as enhanced."""
    return _ua(details, "Unweighted accuracy of the baseline on enhanced test clips", tables.ENHANCED_NOTE)


def fused(details: dict[str, Any]) -> Figure:
    """UA of generators as classifiers, alone and fused with a network."""
    return _ua(details, "Unweighted accuracy of generators as classifiers", tables.FUSED_NOTE)


@styled
def _ua(details: dict[str, Any], title: str, note: str = "") -> Figure:
    arms, corpora = details["arms"], list(details["corpora"])
    if len(corpora) == 1:
        corpora = []
    spacing = 1 + 0.45 * len(corpora)
    figure = Figure(figsize=(WIDTH, 1.5 + 0.38 * spacing * len(arms)), layout="constrained")
    axes = figure.subplots()
    for index, metrics in enumerate(arms.values()):
        row, estimate = spacing * index, metrics["overall"]["ua"]
        headline(axes, estimate, row, COLOURS[0], label="all clips")
        for i, corpus in enumerate(corpora, start=1):
            interval(
                axes,
                metrics["corpora"][corpus]["ua"],
                row + 0.45 * i,
                _cycle(COLOURS, i),
                marker=_cycle(MARKERS, i),
                size=5,
                width=1.1,
                horizontal=True,
                label=corpus,
            )
        if index:
            axes.axhline(row - 0.65, color="#E0E0E0", linewidth=0.8)
    axes.set_yticks(spacing * np.arange(len(arms)), arms)
    axes.set_ylim(spacing * len(arms) - 0.65, -0.65)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(per_cent)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.grid(axis="x")
    if corpora:
        legend(axes)
    chance = 100 / len(details["emotions"])
    bars = f"Bars: 95 % intervals {tables.sampled(details)}; chance {chance:.1f} %."
    return titled(figure, title, f"{note} {bars} {tables.caption(details)}")


def headline(axes: Axes, estimate: Estimate, row: float, colour: str, label: str) -> None:
    """A thick interval with its value above it."""
    interval(axes, estimate, row, colour, marker="o", size=8, width=2.2, label=label, horizontal=True)
    axes.annotate(
        f"{100 * estimate['value']:.1f}",
        (estimate["value"], row),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        fontweight="bold",
        color=colour,
    )


@styled
def recall(details: dict[str, Any]) -> Figure:
    """Recall of each emotion by arm, with intervals."""
    arms, class_names = list(details["arms"]), details["emotions"]
    figure = Figure(figsize=(WIDTH, 4), layout="constrained")
    axes = figure.subplots()
    offsets = np.linspace(-0.3, 0.3, len(arms)) if len(arms) > 1 else [0]
    for i, arm in enumerate(arms):
        recalls = details["arms"][arm]["overall"]["recall"]
        for column, emotion in enumerate(class_names):
            if emotion in recalls:
                interval(
                    axes,
                    recalls[emotion],
                    column + offsets[i],
                    _cycle(COLOURS, i),
                    marker=_cycle(MARKERS, i),
                    size=5.5,
                    width=1.6,
                    label=arm,
                )
    for column in range(1, len(class_names)):
        axes.axvline(column - 0.5, color="#E0E0E0", linewidth=0.8)
    axes.set_xticks(range(len(class_names)), class_names)
    axes.set_xlim(-0.5, len(class_names) - 0.5)
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(per_cent)
    axes.set_ylabel("recall")
    axes.grid(axis="y")
    legend(axes)
    bars = f"Bars: 95 % intervals {tables.sampled(details)}."
    return titled(figure, "Recall of each emotion by arm", f"{bars} {tables.caption(details)}")


@styled
def confusion(details: dict[str, Any]) -> Figure:
    """Confusion matrices, one per arm, each row in per cent of the clips of that emotion."""
    arms, class_names = details["arms"], details["emotions"]
    columns = _columns(arms)
    rows = -(-len(arms) // columns)
    side = (WIDTH - 0.9) / 3
    figure = Figure(figsize=(max(0.9 + side * columns, 5), 1.5 + side * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(arms) :]:
        axes.set_axis_off()
    for index, (axes, (arm, metrics)) in enumerate(zip(grid.flat, arms.items())):
        counts = np.array(metrics["confusion"])
        share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        for (i, j), value in np.ndenumerate(share):
            if counts[i].any():
                axes.text(
                    j,
                    i,
                    f"{value:.0f}",
                    ha="center",
                    va="center",
                    fontsize=7.5 if len(class_names) < 8 else 6.5,
                    color="white" if value > 55 else "#202020",
                )
        axes.set_title(arm)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=8)
        axes.set_xticks(range(len(class_names)), class_names, rotation=90)
        axes.set_yticks(range(len(class_names)), class_names)
        if index % columns == 0:
            axes.set_ylabel("spoken as")
        lowest = index + columns >= len(arms)
        axes.tick_params(labelbottom=lowest)
        if lowest:
            axes.set_xlabel("recognised as")
    return titled(
        figure,
        "Confusion of emotions by each arm",
        f"Per cent of the clips of each spoken emotion. {tables.caption(details)}",
    )


@styled
def calibration(details: dict[str, Any]) -> Figure:
    """Accuracy by confidence, and accuracy where only the most confident clips count, of each arm."""
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    curves, kept = figure.subplots(1, 2)
    curves.plot([0, 1], [0, 1], color="#A0A0A0", linewidth=0.8, linestyle="--")
    for number, (arm, metrics) in enumerate(details["arms"].items()):
        measured = metrics["calibration"]
        for axes, points, x in (
            (curves, [one for one in measured["reliability"] if one["share"] >= LEAST_SHARE], "confidence"),
            (kept, measured["rejection"], "kept"),
        ):
            axes.plot(
                [point[x] for point in points],
                [point["accuracy"] for point in points],
                color=_cycle(COLOURS, number),
                marker=_cycle(MARKERS, number),
                markersize=4.5,
                linewidth=1.2,
                label=f"{arm} ({100 * measured['ece']:.1f})",
            )
    for axes in (curves, kept):
        axes.xaxis.set_major_formatter(per_cent)
        axes.yaxis.set_major_formatter(per_cent)
        axes.set_ylabel("accuracy")
        axes.grid()
    lowest = 1 / len(details["emotions"])  # no clip is less confident
    curves.set(title="calibration", xlabel="confidence (probability of the recognised emotion)", ylim=(0, 1.02))
    curves.set_xlim(lowest - 0.02, 1.02)
    kept.set(title="rejection", xlabel="share of clips kept, the most confident")
    kept.invert_xaxis()
    figure.legend(
        *kept.get_legend_handles_labels(), title="arm (ECE, points)", loc="outside right upper", title_fontsize=9
    )
    pooled = ", runs pooled" if tables.n_runs(details) > 1 else ""
    return titled(
        figure,
        "Confidence and accuracy of each arm",
        f"Left: accuracy of clips by confidence{pooled}, in bins of 10 % that hold at least 1 % of the clips; dashed: "
        "perfect calibration. ECE: expected calibration error, the mean gap between accuracy and confidence in 15 "
        "bins. Right: accuracy where the least confident clips are rejected. "
        f"{tables.caption(details)}",
    )


@styled
def learning_curves(histories: Mapping[str, pd.DataFrame], caption: str) -> Figure:
    """Training loss by epoch, one panel per arm; `histories` has the table of each arm from `read_curves`."""
    columns = _columns(histories)
    blocks = -(-len(histories) // columns)
    figure = Figure(figsize=(WIDTH, 1 + 2.2 * blocks), layout="constrained")
    grid = figure.subplots(blocks, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(histories) :]:
        axes.set_axis_off()
    losses = pd.concat(histories.values())["train_loss"]
    for axes, (arm, history) in zip(grid.flat, histories.items(), strict=False):
        curves = curves_by_run(history, "train_loss")
        axes.plot(curves.index, curves, color=COLOURS[1], linewidth=0.6, alpha=0.4)
        axes.plot(curves.index, curves.mean(axis=1), color=COLOURS[1], linewidth=2)
        axes.set(title=arm, xlabel="epoch", ylim=(0, 1.05 * np.percentile(losses, 99.5)))
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("loss")
    return titled(
        figure,
        "Training loss",
        f"Thin lines: single trainings; bold: their mean. {caption}",
    )


@styled
def gallery(
    real: MelsByEmotion,
    synthetic: MelsByEmotion,
    title: str,
    hop: int,  # samples
    sample_rate: int,
    caption: str = "",
    low: float = 0.0,  # lowest frequency, Hz
    high: float | None = None,  # highest frequency, Hz; None: half the sample rate
) -> Figure:
    """Real mels next to synthetic mels, one row per emotion of `real`, each in dB below its own peak."""
    sides = {"real": real, "synthetic": synthetic}
    counts = {name: max(len(side.get(emotion, ())) for emotion in real) for name, side in sides.items()}
    all_mels = [mel for side in sides.values() for mels in side.values() for mel in mels]
    seconds = max(mel.shape[1] for mel in all_mels) * hop / sample_rate
    n_mels = all_mels[0].shape[0]
    centres = frequencies(n_mels + 2, low, high or sample_rate / 2)[1:-1]
    ticks = [hertz for hertz in (250, 1000, 4000) if centres[0] < hertz < centres[-1]]

    figure = Figure(figsize=(WIDTH, 1.3 + 0.95 * len(real)), layout="constrained")
    left, right = counts.values()
    grid = figure.subplots(
        len(real),
        left + 1 + right,
        squeeze=False,
        sharex=True,
        sharey=True,
        width_ratios=[1] * left + [0.12] + [1] * right,
    )
    for axes in grid[:, left]:
        axes.set_axis_off()
    grid[0, 0].set_title("real", loc="left")
    grid[0, left + 1].set_title("synthetic", loc="left")
    for (row, emotion), (first, side) in product(enumerate(real), ((0, real), (left + 1, synthetic))):
        for axes, mel in zip(grid[row, first:], side.get(emotion, ())):
            decibels = np.asarray(mel, dtype=np.float32)
            image = axes.imshow(
                decibels - decibels.max(),
                cmap="magma",
                vmin=-80,
                vmax=0,
                origin="lower",
                aspect="auto",
                interpolation="nearest",
                extent=(0, mel.shape[1] * hop / sample_rate, -0.5, n_mels - 0.5),
            )
    for axes in grid.flat:
        axes.set_facecolor("#F2F2F2")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=2, labelsize=7, left=axes in grid[:, 0], bottom=axes in grid[-1])
    axes.set(xlim=(0, seconds), ylim=(-0.5, n_mels - 0.5))
    axes.set_yticks(np.interp(ticks, centres, np.arange(n_mels)), [f"{hertz:,}" for hertz in ticks])
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    for emotion, axes in zip(real, grid[:, 0]):
        axes.set_ylabel(emotion, fontweight="bold")
    bar = figure.colorbar(image, ax=grid, label="dB below the peak of the clip", aspect=50, pad=0.015)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7)
    axis_labels = "Horizontal: time in s; vertical: frequency in Hz on the mel scale."
    return titled(figure, title, f"{axis_labels} {caption}", gap=0.04)


@styled
def quality(results: Mapping[str, dict[str, Any]]) -> Figure:
    """The quality of synthetic clips: one panel per metric, one row per generator.

    `results` holds metrics/quality/<generator>.json of each generator. A row shows every fold, the mean of the folds,
    and the mean of the reference. Without generators, the figure says so.
    """
    title = "Quality of synthetic clips"
    if not results:
        return titled(Figure(figsize=(WIDTH, 0.8), layout="constrained"), title, "No generators in this study.")
    figure = Figure(figsize=(WIDTH, 1.4 + 3 * (0.5 + 0.22 * len(results))), layout="constrained")
    *grid, last = figure.subplots(3, 4, sharey=True).flat
    for axes, (key, (name, factor, _, better)) in zip(grid, tables.QUALITY.items(), strict=True):
        for row, result in enumerate(results.values()):
            folds = [fold["synthetic"][key] for fold in result["folds"]]
            _plot_values(axes, folds, factor, row, "|", color=COLOURS[1], alpha=0.5, label="synthetic, one fold")
            _plot_values(
                axes,
                [result["reference"][key]],
                factor,
                row,
                "D",
                color="none",
                markeredgecolor=COLOURS[2],
                label="real, mean of folds",
            )
            _plot_values(
                axes, [result["synthetic"][key]], factor, row, "o", color=COLOURS[1], label="synthetic, mean of folds"
            )
        axes.set_title(name, fontsize=8.5, loc="left")
        axes.set_title(better, fontsize=7, loc="right", fontweight="normal", color="#606060")
        axes.grid(axis="x")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(labelsize=7.5)
        axes.tick_params(axis="y", length=0)
        axes.set_yticks(range(len(results)), results)
        axes.set_ylim(len(results) - 0.5, -0.5)
    marks = dict(zip(*reversed(axes.get_legend_handles_labels())))
    last.legend(marks.values(), marks, loc="center left", fontsize=7.5, borderaxespad=0)
    last.set_axis_off()
    return titled(figure, title, " ".join(tables.QUALITY_NOTES))


def _plot_values(
    axes: Axes, values: Sequence[float | None], factor: float, row: int, marker: str, **style: Any
) -> None:
    known = [factor * value for value in values if value is not None]
    axes.plot(known, [row] * len(known), marker, markersize=6.5, **style)


@styled
def embeddings(points: pd.DataFrame, title: str, caption: str) -> Figure:
    """Embeddings of real and synthetic clips in the plane.

    The upper row has principal components, the lower row t-SNE. Colours show the emotion on the left and the speaker on
    the right. `points` is the table `kind,emotion,speaker,pca_1,pca_2,tsne_1,tsne_2`; kind is training, held-out or
    synthetic, and the speaker of a synthetic clip is empty.
    """
    class_names, speakers = points["emotion"].unique(), sorted(set(points["speaker"]) - {""})
    figure = Figure(figsize=(WIDTH, 7.4), layout="constrained")
    grid = figure.subplots(2, 2, sharex="row", sharey="row")
    for row, method in zip(grid, ("pca", "tsne")):
        by_emotion, by_speaker = row
        for kind, (marker, hollow) in KINDS.items():
            for number, emotion in enumerate(class_names):
                _scatter(
                    by_emotion,
                    points[(points.kind == kind) & (points.emotion == emotion)],
                    method,
                    marker,
                    _cycle(MANY_COLOURS, number),
                    hollow,
                )
        _scatter(by_speaker, points[points.speaker == ""], method, "o", "#B0B0B0", hollow=False)
        for number, speaker in enumerate(speakers):
            _scatter(by_speaker, points[points.speaker == speaker], method, *_speaker(number), hollow=True)
        for axes in row:
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(True)
        by_emotion.set_ylabel({"pca": "principal components", "tsne": "t-SNE"}[method], fontweight="bold")
    grid[0, 0].set_title("by emotion")
    grid[0, 1].set_title("by speaker (synthetic: grey)")
    handles = [
        *(_marks(marker, "#404040", kind, hollow) for kind, (marker, hollow) in KINDS.items()),
        *(_marks("s", _cycle(MANY_COLOURS, number), emotion) for number, emotion in enumerate(class_names)),
        *(_marks(*_speaker(number), speaker, hollow=True) for number, speaker in enumerate(speakers)),
    ]
    columns = -(-len(handles) // 46)
    figure.legend(handles=handles, loc="outside right upper", ncols=columns, fontsize=7, handletextpad=0)
    return titled(figure, title, caption)


def _scatter(axes: Axes, points: pd.DataFrame, method: str, marker: str, colour: str, hollow: bool) -> None:
    axes.add_line(_marks(marker, colour, None, hollow, points[f"{method}_1"], points[f"{method}_2"]))
    axes.autoscale_view()


def _marks(
    marker: str,
    colour: str,
    label: str | None,
    hollow: bool = False,
    x: Sequence[float] | pd.Series = (),
    y: Sequence[float] | pd.Series = (),
) -> Line2D:
    return Line2D(
        x,
        y,
        linestyle="",
        marker=marker,
        markersize=4 if hollow else 3,
        markeredgecolor=colour,
        label=label,
        markerfacecolor="none" if hollow else colour,
        markeredgewidth=0.8,
        alpha=0.8,
    )


def _speaker(number: int) -> tuple[str, str]:
    """Marker and colour of one of many speakers."""
    return _cycle(MARKERS, number // len(MANY_COLOURS)), _cycle(MANY_COLOURS, number)


def interval(
    axes: Axes,
    estimate: Estimate,
    position: float,
    colour: str,
    marker: str,
    size: float,
    width: float,
    label: str,
    horizontal: bool = False,
) -> None:
    """A marker at the estimate, with a bar over its interval if it has one."""
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    bar = None if low is None or high is None else [[value - low], [high - value]]
    x, y = (value, position) if horizontal else (position, value)
    axes.errorbar(
        x,
        y,
        xerr=bar if horizontal else None,
        yerr=None if horizontal else bar,
        fmt=marker,
        color=colour,
        markersize=size,
        markeredgecolor="white",
        markeredgewidth=0.6,
        elinewidth=width,
        label=label,
    )


def legend(axes: Axes) -> None:
    """A legend in one line above the axes: markers without bars."""
    bars = dict(zip(*reversed(axes.get_legend_handles_labels())))
    axes.legend(
        [bar[0] for bar in bars.values()],
        bars,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=len(bars),
        borderaxespad=0.2,
        columnspacing=1.4,
        handletextpad=0.2,
    )


def _columns(arms: Collection[str]) -> int:
    return 2 if len(arms) == 4 else min(3, len(arms))


def per_cent(value: float, _: float) -> str:
    """The label of a tick at a share."""
    return f"{100 * value:g} %"


def _cycle(values: Sequence[Value], index: int) -> Value:
    return values[index % len(values)]


def titled(figure: Figure, title: str, caption: str, gap: float = 0.08) -> Figure:
    """Add a title above and a caption below the figure, with a padding of `gap` inches."""
    width = figure.get_figwidth()
    layout: Any = figure.get_layout_engine()
    layout.set(h_pad=gap)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.supxlabel(
        textwrap.fill(caption.strip(), int(17 * width)), x=0.01, ha="left", fontsize=8, color="#606060", linespacing=1.4
    )
    return figure
