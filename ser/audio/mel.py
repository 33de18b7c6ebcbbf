"""From samples to a mel spectrogram in decibels."""

from functools import lru_cache

import numpy as np
import scipy.fft
from pydantic import Field

from ser.audio.mel_scale import frequencies
from ser.core.errors import InputError
from ser.core.params import Config
from ser.data.mel_store import FLOOR_DB

SILENCE = np.float32(1e-10)  # least power of a band, as in librosa


class MelConfig(Config):
    n_fft: int = Field(gt=0)
    hop: int = Field(gt=0)
    n_mels: int = Field(gt=0)
    fmin: float = Field(ge=0)
    fmax: float = Field(gt=0)


def melspectrogram(samples: np.ndarray, sample_rate: int, config: MelConfig) -> np.ndarray:
    """Mel spectrogram of mono `samples` [n] as float32 `[n_mels, frames]`, in dB below the clip's own peak.

    The same as `librosa.power_to_db(librosa.feature.melspectrogram(...), ref=np.max, top_db=80)`: Slaney mel filters, a
    centred Hann window, power. The peak is 0 dB and the floor -80 dB whatever the recording level. EmoDB is
    peak-normalised and RAVDESS is not, so that the level would reveal the corpus instead of the emotion.

    Raises InputError where the filters do not fit below half the sample rate.
    """
    if not config.fmin < config.fmax <= sample_rate / 2:
        raise InputError(
            f"params.yaml: expected mels.fmin < mels.fmax <= {sample_rate / 2:g} Hz, half of audio.sample_rate; "
            f"found {config.fmin:g} and {config.fmax:g}"
        )
    window, filters = window_and_filters(sample_rate, config)
    padded = np.zeros(len(samples) + 2 * (config.n_fft // 2), np.float32)
    padded[config.n_fft // 2 :][: len(samples)] = samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, config.n_fft)[:: config.hop]
    spectrum = scipy.fft.rfft(frames * window, axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    decibels = 10 * np.log10(np.maximum(power[:, : len(filters)] @ filters, SILENCE))
    return np.maximum(decibels - decibels.max(), FLOOR_DB).T


@lru_cache
def window_and_filters(sample_rate: int, config: MelConfig) -> tuple[np.ndarray, np.ndarray]:
    """The Hann window `[n_fft]` and the mel filters of equal area `[bins up to fmax, n_mels]`, both float32."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.n_fft) / config.n_fft)
    bins = np.linspace(0, sample_rate / 2, config.n_fft // 2 + 1)[:, None]
    edges = frequencies(config.n_mels + 2, config.fmin, config.fmax)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    filters = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)).clip(0).astype(np.float32)
    filters *= 2 / (high - low)
    return window.astype(np.float32), filters[: np.searchsorted(bins[:, 0], config.fmax)]
