"""From samples to a mel spectrogram in decibels."""

from functools import lru_cache

import numpy as np
import scipy.fft
from pydantic import Field

from ser.audio.mel_scale import frequencies
from ser.core.errors import InputError
from ser.core.params import Config
from ser.data.mel_store import FLOOR_DB

SILENCE = np.float32(1e-10)  # power; softer bands count as this loud, as in librosa


class MelConfig(Config):
    n_fft: int = Field(gt=0)
    hop: int = Field(gt=0)
    n_mels: int = Field(gt=0)
    fmin: float = Field(ge=0)
    fmax: float = Field(gt=0)


def melspectrogram(samples, sample_rate, settings):
    """Mel spectrogram of mono `samples` [n] as float32 `[n_mels, frames]`, in dB below the clip's own peak.

    The same as `librosa.power_to_db(librosa.feature.melspectrogram(...), ref=np.max, top_db=80)`:
    Slaney mel filters, a centred Hann window, power. The peak is 0 dB and the floor -80 dB whatever the recording
    level, because EmoDB is peak-normalised and RAVDESS is not: level would tell the corpus, not the emotion.
    """
    if not settings.fmin < settings.fmax <= sample_rate / 2:
        raise InputError(
            f"params.yaml: expected mels.fmin < mels.fmax <= {sample_rate / 2:g} Hz, half of audio.sample_rate; "
            f"found {settings.fmin:g} and {settings.fmax:g}"
        )
    window, filters = _analysis(sample_rate, settings)
    padded = np.zeros(len(samples) + 2 * (settings.n_fft // 2), np.float32)
    padded[settings.n_fft // 2 :][: len(samples)] = samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, settings.n_fft)[:: settings.hop]
    spectrum = scipy.fft.rfft(frames * window, axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    decibels = 10 * np.log10(np.maximum(power[:, : len(filters)] @ filters, SILENCE))
    return np.maximum(decibels - decibels.max(), FLOOR_DB).T


@lru_cache
def _analysis(sample_rate, settings):
    """The Hann window float32 [n_fft] and the mel filters, of equal area, float32 [bins up to fmax, n_mels]."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(settings.n_fft) / settings.n_fft)
    bins = np.linspace(0, sample_rate / 2, settings.n_fft // 2 + 1)[:, None]
    edges = frequencies(settings.n_mels + 2, settings.fmin, settings.fmax)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    filters = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)).clip(0).astype(np.float32)
    filters *= 2 / (high - low)
    return window.astype(np.float32), filters[: np.searchsorted(bins[:, 0], settings.fmax)]
