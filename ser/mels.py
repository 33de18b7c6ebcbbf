"""From samples to a mel spectrogram in decibels."""

from functools import lru_cache

import librosa
import numpy as np
import scipy.fft
from pydantic import Field

from ser.errors import InputError
from ser.packs import FLOOR_DB
from ser.params import Section


class Mels(Section):
    n_fft: int = Field(gt=0)
    hop: int = Field(gt=0)
    n_mels: int = Field(gt=0)
    fmin: float = Field(ge=0)
    fmax: float = Field(gt=0)


def melspectrogram(samples, sample_rate, settings):
    """Mel spectrogram of mono `samples` [n] as float32 `[frames, n_mels]`, in dB below the clip's own peak.

    The same as `librosa.power_to_db(librosa.feature.melspectrogram(...), ref=np.max, top_db=80)`, transposed:
    Slaney mel filters, a centred Hann window, power. The peak is 0 dB and the floor -80 dB whatever the recording
    level, because EmoDB is peak-normalised and RAVDESS is not: level would tell the corpus, not the emotion.
    """
    if not settings.fmin < settings.fmax <= sample_rate / 2:
        raise InputError(
            f"params.yaml: expected mels.fmin < mels.fmax <= {sample_rate / 2:g} Hz, half of audio.sample_rate; "
            f"found {settings.fmin:g} and {settings.fmax:g}"
        )
    window, filters = _analysis(sample_rate, settings)
    padded = np.pad(samples, settings.n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, settings.n_fft)[:: settings.hop]
    spectrum = scipy.fft.rfft(frames * window, axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    return librosa.power_to_db(power @ filters, ref=np.max, top_db=-FLOOR_DB)


@lru_cache
def _analysis(sample_rate, settings):
    window = librosa.filters.get_window("hann", settings.n_fft).astype(np.float32)
    filters = librosa.filters.mel(
        sr=sample_rate, n_fft=settings.n_fft, n_mels=settings.n_mels, fmin=settings.fmin, fmax=settings.fmax
    )
    return window, filters.T.copy()
