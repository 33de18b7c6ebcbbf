"""Waveforms and mel spectrograms on the background of the page, light or dark."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ser.audio.mel import MelConfig
from ser.audio.mel_scale import frequencies
from ser.data.mel_store import FLOOR_DB

INK = {"light": "#31333F", "dark": "#FAFAFA"}


def waveform(samples: np.ndarray, rate: int, theme: str) -> Figure:
    """The range of samples [n] over time, in at most 600 segments."""
    figure, axes = _axes(1.4, theme)
    segments = np.array_split(samples, min(len(samples), 600))
    time = np.linspace(0, len(samples) / rate, len(segments))
    low, high = zip(*((segment.min(), segment.max()) for segment in segments))
    axes.fill_between(time, low, high, color="#0072B2", linewidth=0)
    axes.set(xlim=(0, time[-1]), yticks=[], xlabel="s")
    return figure


def spectrogram(mel: np.ndarray, rate: int, config: MelConfig, theme: str) -> Figure:
    """A mel [n_mels, frames] in dB below its peak, with time in s and frequency in Hz."""
    figure, axes = _axes(2.2, theme)
    centres = frequencies(config.n_mels + 2, config.fmin, config.fmax)[1:-1]
    ticks = [hertz for hertz in (250, 1000, 4000) if centres[0] < hertz < centres[-1]]
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
    axes.set_yticks(np.interp(ticks, centres, np.arange(len(mel))), [f"{hertz:,} Hz" for hertz in ticks])
    axes.set_xlabel("s")
    return figure


def _axes(height: float, theme: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6, height), dpi=150, facecolor="none")
    axes = figure.add_axes((0.1, 0.4 / height, 0.88, 1 - 0.5 / height))  # the time axes of both pictures are aligned
    axes.set_facecolor("none")
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=INK[theme], labelsize=7, length=2)
    axes.xaxis.label.set(color=INK[theme], fontsize=7)
    return figure, axes
