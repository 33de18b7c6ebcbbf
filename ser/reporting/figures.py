"""Figures of the comparison, and real beside synthetic mels. Functions return a Figure; `save` writes it."""

import textwrap
from itertools import product

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ser.audio.mel_scale import frequencies
from ser.core.atomic import replacing
from ser.evaluation.predictions import curves_by_run
from ser.reporting import tables

# Okabe & Ito, Color Universal Design, 2008; yellow is left out, too faint on white.
COLOURS = ("#4D4D4D", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "D", "^", "v", "p", "h")
# Tol, Colour Schemes, 2021: muted, for as many emotions as there are; black for sand, too faint on white.
MANY_COLOURS = ("#CC6677", "#332288", "#117733", "#000000", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499")
KINDS = {"training": ("o", True), "held-out": ("^", True), "synthetic": ("s", False)}  # marker, hollow
WIDTH = 8.0  # inches
STYLE = {
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


def save(figure, path):
    """Write a PNG, the same bytes for the same figure."""
    with replacing(path) as temporary, matplotlib.rc_context(STYLE):
        figure.savefig(temporary, format="png", metadata={"Software": None})


def ua(details):
    """UA of each arm with its interval, corpora below it, from the `details` of `scores.compare`."""
    return _ua(details, "Unweighted accuracy (mean recall over emotions) of each arm")


def enhanced(details):
    """As `ua`, of the baseline on test clips as recorded and as enhanced."""
    return _ua(details, "Unweighted accuracy of the baseline on enhanced test clips", tables.ENHANCED_NOTE)


@styled
def _ua(details, title, note=""):
    arms, corpora = details["arms"], list(details["corpora"])
    if len(corpora) == 1:
        corpora = []
    pitch = 1 + 0.45 * len(corpora)
    figure = Figure(figsize=(WIDTH, 1.5 + 0.38 * pitch * len(arms)), layout="constrained")
    axes = figure.subplots()
    for index, result in enumerate(arms.values()):
        row, estimate = pitch * index, result["overall"]["ua"]
        interval(axes, estimate, row, COLOURS[0], marker="o", size=8, width=2.2, horizontal=True, label="all clips")
        axes.annotate(
            f"{100 * estimate['value']:.1f}",
            (estimate["value"], row),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            fontweight="bold",
        )
        for i, corpus in enumerate(corpora, start=1):
            interval(
                axes,
                result["corpora"][corpus]["ua"],
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
    axes.set_yticks(pitch * np.arange(len(arms)), arms)
    axes.set_ylim(pitch * len(arms) - 0.65, -0.65)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(per_cent)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.grid(axis="x")
    if corpora:
        legend(axes)
    chance = 100 / len(details["emotions"])
    return titled(
        figure, title, f"{note} Bars: 95 % intervals over speakers; chance {chance:.1f} %. {tables.caption(details)}"
    )


@styled
def recall(details):
    """Recall of each emotion by arm, with intervals."""
    arms, emotions = list(details["arms"]), details["emotions"]
    figure = Figure(figsize=(WIDTH, 4), layout="constrained")
    axes = figure.subplots()
    offsets = np.linspace(-0.3, 0.3, len(arms)) if len(arms) > 1 else [0]
    for i, arm in enumerate(arms):
        figures = details["arms"][arm]["overall"]["recall"]
        for column, emotion in enumerate(emotions):
            if emotion in figures:
                interval(
                    axes,
                    figures[emotion],
                    column + offsets[i],
                    _cycle(COLOURS, i),
                    marker=_cycle(MARKERS, i),
                    size=5.5,
                    width=1.6,
                    label=arm,
                )
    for column in range(1, len(emotions)):
        axes.axvline(column - 0.5, color="#E0E0E0", linewidth=0.8)
    axes.set_xticks(range(len(emotions)), emotions)
    axes.set_xlim(-0.5, len(emotions) - 0.5)
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(per_cent)
    axes.set_ylabel("recall")
    axes.grid(axis="y")
    legend(axes)
    return titled(
        figure, "Recall of each emotion by arm", f"Bars: 95 % intervals over speakers. {tables.caption(details)}"
    )


@styled
def confusion(details):
    """Confusion matrices, one an arm, each row in per cent of the clips of that emotion."""
    arms, emotions = details["arms"], details["emotions"]
    columns = _columns(arms)
    rows = -(-len(arms) // columns)
    side = (WIDTH - 0.9) / 3
    figure = Figure(figsize=(max(0.9 + side * columns, 5), 1.5 + side * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(arms) :]:
        axes.set_axis_off()
    for index, (axes, (arm, result)) in enumerate(zip(grid.flat, arms.items())):
        counts = np.array(result["confusion"])
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
                    fontsize=7.5 if len(emotions) < 8 else 6.5,
                    color="white" if value > 55 else "#202020",
                )
        axes.set_title(arm)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=8)
        axes.set_xticks(range(len(emotions)), emotions, rotation=90)
        axes.set_yticks(range(len(emotions)), emotions)
        if index % columns == 0:
            axes.set_ylabel("spoken as")
        lowest = index + columns >= len(arms)
        axes.tick_params(labelbottom=lowest)
        if lowest:
            axes.set_xlabel("recognised as")
    return titled(
        figure,
        "Which emotion is taken for which",
        f"Per cent of the clips of each spoken emotion. {tables.caption(details)}",
    )


@styled
def learning_curves(histories, caption):
    """Loss and validation UA by epoch, a column an arm, from {arm: table as of `scores.read_curves`}."""
    columns = _columns(histories)
    blocks = -(-len(histories) // columns)
    figure = Figure(figsize=(WIDTH, 1 + 3.6 * blocks), layout="constrained")
    grid = figure.subplots(2 * blocks, columns, squeeze=False, sharex=True)
    for axes in grid.flat:
        axes.set_axis_off()
    losses = pd.concat(histories.values())[["train_loss", "validation_loss"]]
    for index, (arm, history) in enumerate(histories.items()):
        block, column = divmod(index, columns)
        loss, accuracy = grid[2 * block : 2 * block + 2, column]
        _curves(loss, history, "train_loss", COLOURS[1], "training")
        _curves(loss, history, "validation_loss", COLOURS[2], "validation")
        _curves(accuracy, history, "validation_ua", COLOURS[2], "validation")
        for axes in (loss, accuracy):
            axes.set_axis_on()
            axes.grid(axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        loss.set_ylim(0, 1.05 * np.percentile(losses, 99.5))
        accuracy.set_ylim(0, 1)
        accuracy.yaxis.set_major_formatter(per_cent)
        loss.set_title(arm)
        accuracy.set_xlabel("epoch")
        loss.tick_params(labelbottom=False, labelleft=column == 0)
        accuracy.tick_params(labelbottom=True, labelleft=column == 0)
        if column == 0:
            loss.set_ylabel("loss")
            accuracy.set_ylabel("UA")
        if index == 0:
            loss.legend(loc="upper right")
    return titled(
        figure, "Learning curves", f"Thin: one fold, held at its last value once it stopped; bold: the mean. {caption}"
    )


def _curves(axes, history, column, colour, label):
    curves = curves_by_run(history, column)
    axes.plot(curves.index, curves, color=colour, linewidth=0.6, alpha=0.4)
    axes.plot(curves.index, curves.mean(axis=1), color=colour, linewidth=2, label=label)


@styled
def gallery(real, synthetic, title, hop, sample_rate, caption="", low=0.0, high=None):
    """Real mels beside synthetic mels, a row an emotion.

    `real`, `synthetic`: {emotion: list of mels [n_mels, frames] in dB}, the emotions in the order of `real`.
    `hop` in samples; `sample_rate`, `low` and `high` (by default half the sample rate) in Hz. Each mel is
    shown relative to its own peak, -80..0 dB.
    """
    sides = {"real": real, "synthetic": synthetic}
    counts = {name: max(len(side.get(emotion, ())) for emotion in real) for name, side in sides.items()}
    everything = [mel for side in sides.values() for mels in side.values() for mel in mels]
    seconds = max(mel.shape[1] for mel in everything) * hop / sample_rate
    bands = everything[0].shape[0]
    centres = frequencies(bands + 2, low, high or sample_rate / 2)[1:-1]
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
            mel = np.asarray(mel, dtype=np.float32)
            image = axes.imshow(
                mel - mel.max(),
                cmap="magma",
                vmin=-80,
                vmax=0,
                origin="lower",
                aspect="auto",
                interpolation="nearest",
                extent=(0, mel.shape[1] * hop / sample_rate, -0.5, bands - 0.5),
            )
    for axes in grid.flat:
        axes.set_facecolor("#F2F2F2")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=2, labelsize=7, left=axes in grid[:, 0], bottom=axes in grid[-1])
    axes.set(xlim=(0, seconds), ylim=(-0.5, bands - 0.5))
    axes.set_yticks(np.interp(ticks, centres, np.arange(bands)), [f"{hertz:,}" for hertz in ticks])
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    for emotion, axes in zip(real, grid[:, 0]):
        axes.set_ylabel(emotion, fontweight="bold")
    bar = figure.colorbar(image, ax=grid, label="dB below the peak of the clip", aspect=50, pad=0.015)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7)
    return titled(figure, title, f"Across: time in s; up: frequency in Hz, mel scale. {caption}", gap=0.04)


@styled
def quality(results):
    """The quality of synthetic clips, a panel a figure and a row a generator, from `{generator: as of
    metrics/quality/<generator>.json}`: each fold, their mean and that of the reference. It says so where there is no
    generator."""
    title = "Quality of synthetic clips"
    if not results:
        return titled(Figure(figsize=(WIDTH, 0.8), layout="constrained"), title, "No generators in this study.")
    figure = Figure(figsize=(WIDTH, 1.4 + 3 * (0.5 + 0.22 * len(results))), layout="constrained")
    *grid, last = figure.subplots(3, 4, sharey=True).flat
    for axes, (key, (name, factor, _, better)) in zip(grid, tables.QUALITY.items(), strict=True):
        for row, result in enumerate(results.values()):
            folds = [fold["synthetic"][key] for fold in result["folds"]]
            _quantities(axes, folds, factor, row, "|", color=COLOURS[1], alpha=0.5, label="synthetic, a fold")
            _quantities(
                axes,
                [result["reference"][key]],
                factor,
                row,
                "D",
                color="none",
                markeredgecolor=COLOURS[2],
                label="real, mean of folds",
            )
            _quantities(
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
    return titled(figure, title, tables.QUALITY_NOTE)


def _quantities(axes, values, factor, row, marker, **style):
    known = [factor * value for value in values if value is not None]
    axes.plot(known, [row] * len(known), marker, markersize=6.5, **style)


@styled
def embeddings(points, title, caption):
    """Real and synthetic clips in the plane, by principal components above and by t-SNE below, coloured by emotion on
    the left and by speaker on the right.

    `points`: the table `kind,emotion,speaker,pca_1,pca_2,tsne_1,tsne_2`; kind is training, held-out or synthetic, and
    the speaker of a synthetic clip is empty.
    """
    emotions, speakers = points["emotion"].unique(), sorted(set(points["speaker"]) - {""})
    figure = Figure(figsize=(WIDTH, 7.4), layout="constrained")
    grid = figure.subplots(2, 2, sharex="row", sharey="row")
    for row, method in zip(grid, ("pca", "tsne")):
        by_emotion, by_speaker = row
        for kind, (marker, hollow) in KINDS.items():
            for number, emotion in enumerate(emotions):
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
    colours = [_sign("s", _cycle(MANY_COLOURS, number), emotion) for number, emotion in enumerate(emotions)]
    kinds = [_sign(marker, "#404040", kind, hollow) for kind, (marker, hollow) in KINDS.items()]
    people = [_sign(*_speaker(number), speaker, hollow=True) for number, speaker in enumerate(speakers)]
    signs = [*kinds, *colours, *people]
    figure.legend(handles=signs, loc="outside right upper", ncols=-(-len(signs) // 46), fontsize=7, handletextpad=0)
    return titled(figure, title, caption)


def _scatter(axes, points, method, marker, colour, hollow):
    axes.add_line(_sign(marker, colour, None, hollow, points[f"{method}_1"], points[f"{method}_2"]))
    axes.autoscale_view()


def _sign(marker, colour, label, hollow=False, x=(), y=()):
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


def _speaker(number):
    """Marker and colour of one of many speakers."""
    return _cycle(MARKERS, number // len(MANY_COLOURS)), _cycle(MANY_COLOURS, number)


def interval(axes, estimate, position, colour, marker, size, width, label, horizontal=False):
    """A marker at the estimate and, where there is one, a bar over its interval."""
    value = estimate["value"]
    bar = None if estimate["low"] is None else [[value - estimate["low"]], [estimate["high"] - value]]
    x, y, bars = (value, position, {"xerr": bar}) if horizontal else (position, value, {"yerr": bar})
    axes.errorbar(
        x,
        y,
        **bars,
        fmt=marker,
        color=colour,
        markersize=size,
        markeredgecolor="white",
        markeredgewidth=0.6,
        elinewidth=width,
        label=label,
    )


def legend(axes):
    """Markers without bars, in one line above the axes."""
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


def _columns(arms):
    return 2 if len(arms) == 4 else min(3, len(arms))


def per_cent(value, _):
    """A share as a tick's label."""
    return f"{100 * value:g} %"


def _cycle(values, index):
    return values[index % len(values)]


def titled(figure, title, caption, gap=0.08):
    """The figure with a title above and a caption below, `gap` inches between its parts."""
    width = figure.get_figwidth()
    figure.get_layout_engine().set(h_pad=gap)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.supxlabel(
        textwrap.fill(caption.strip(), int(17 * width)), x=0.01, ha="left", fontsize=8, color="#606060", linespacing=1.4
    )
    return figure
