"""Waveforms, mel spectrograms and answers over time, on the background of the page, light or dark."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ser.audio.mel import MelConfig
from ser.audio.mel_scale import frequencies
from ser.data.mel_store import FLOOR_DB
from ser.recogniser import Segment

FOR, AGAINST = "#0072B2", "#D55E00"  # colours that the colour-blind can tell apart
INK = {"light": "#31333F", "dark": "#FAFAFA"}


def waveform(samples: np.ndarray, rate: int, theme: str) -> Figure:
    """The range of samples [n] over time, in at most 600 segments."""
    figure, axes = _axes(1.4, theme)
    segments = np.array_split(samples, min(len(samples), 600))
    time = np.linspace(0, len(samples) / rate, len(segments))
    low, high = zip(*((segment.min(), segment.max()) for segment in segments))
    axes.fill_between(time, low, high, color=FOR, linewidth=0)
    axes.set(xlim=(0, time[-1]), yticks=[], xlabel="s")
    return figure


def spectrogram(mel: np.ndarray, rate: int, config: MelConfig, theme: str) -> Figure:
    """A mel [n_mels, frames] in dB below its peak, with time in s and frequency in Hz."""
    figure, axes = _axes(2.2, theme)
    axes.imshow(
        mel,
        cmap="magma",
        vmin=FLOOR_DB,
        vmax=0,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0, mel.shape[1] * config.hop / rate, -0.5, len(mel) - 0.5),
    )
    _mark_hertz(axes, config)
    return figure


def timeline(segments: Sequence[Segment], class_names: Sequence[str], theme: str) -> Figure:
    """The probability of each emotion in each segment of a recording; a mark is the most probable one."""
    figure, axes = _axes(2.2, theme)
    for segment in segments:
        if (answer := segment.answer) is None:
            continue
        width = segment.end - segment.start
        for row, emotion in enumerate(class_names):
            share = answer.probabilities[emotion] * (0.4 if answer.unsure else 1)
            axes.barh(row, width, left=segment.start, height=0.9, align="center", color=FOR, alpha=share, linewidth=0)
            if emotion == answer.emotion:
                axes.plot(segment.start + width / 2, row, "o", color=INK[theme], markersize=2)
    axes.set(xlim=(0, segments[-1].end), ylim=(len(class_names) - 0.5, -0.5), xlabel="s")
    axes.set_yticks(range(len(class_names)), class_names)
    return figure


def explained(mel: np.ndarray, falls: np.ndarray, rate: int, config: MelConfig, theme: str) -> Figure:
    """A mel [n_mels, frames], and over it what speaks for (blue) and against (orange) an answer (see app/why.py)."""
    figure = Figure(figsize=(6, 3), dpi=150, facecolor="none", layout="constrained")
    axes = figure.subplot_mosaic(
        [["time", "."], ["mel", "band"]], height_ratios=[1, 4], width_ratios=[6, 1], gridspec_kw={"hspace": 0.03}
    )
    seconds = config.hop / rate
    extent = (0, mel.shape[1] * seconds, -0.5, len(mel) - 0.5)
    image = {"origin": "lower", "aspect": "auto", "extent": extent}
    axes["mel"].imshow(mel, cmap="gray", vmin=FLOOR_DB, vmax=0, interpolation="nearest", **image)
    largest = max(float(np.abs(falls).max()), 1e-9)
    for sign, colour in ((1, FOR), (-1, AGAINST)):
        paint = np.zeros((*falls.shape, 4))
        paint[..., :3] = to_rgb(colour)
        paint[..., 3] = 0.8 * np.clip(sign * falls, 0, None) / largest
        axes["mel"].imshow(paint, interpolation="bilinear", **image)
    for name, values, places, draw in (
        ("time", falls.mean(0), (np.arange(mel.shape[1]) + 0.5) * seconds, axes["time"].bar),
        ("band", falls.mean(1), np.arange(len(mel)), axes["band"].barh),
    ):
        draw(places, values, seconds if name == "time" else 1, color=np.where(values > 0, FOR, AGAINST))
        axes[name].set(xticks=[], yticks=[])
    axes["time"].set_xlim(axes["mel"].get_xlim())
    axes["band"].set_ylim(axes["mel"].get_ylim())
    _mark_hertz(axes["mel"], config)
    for each in axes.values():
        _style(each, theme)
    return figure


def _mark_hertz(axes: Axes, config: MelConfig) -> None:
    centres = frequencies(config.n_mels + 2, config.fmin, config.fmax)[1:-1]
    ticks = [hertz for hertz in (250, 1000, 4000) if centres[0] < hertz < centres[-1]]
    axes.set_yticks(np.interp(ticks, centres, np.arange(config.n_mels)), [f"{hertz:,} Hz" for hertz in ticks])
    axes.set_xlabel("s")


def _axes(height: float, theme: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6, height), dpi=150, facecolor="none")
    axes = figure.add_axes((0.1, 0.4 / height, 0.88, 1 - 0.5 / height))  # the time axes of both pictures are aligned
    _style(axes, theme)
    return figure, axes


def _style(axes: Axes, theme: str) -> None:
    axes.set_facecolor("none")
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=INK[theme], labelsize=7, length=2)
    axes.xaxis.label.set(color=INK[theme], fontsize=7)
