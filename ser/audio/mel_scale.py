"""Slaney's mel scale: linear up to 1000 Hz, which is 15 mel, and logarithmic above."""

import numpy as np

STEP = np.log(6.4) / 27  # of the logarithm, per mel


def frequencies(count: int, low: float, high: float) -> np.ndarray:
    """Frequencies in Hz, evenly spaced on the mel scale from `low` to `high`; the same as `librosa.mel_frequencies`."""
    mels = np.linspace(_mel(low), _mel(high), count)
    return np.where(mels < 15, 200 / 3 * mels, 1000 * np.exp(STEP * (mels - 15)))


def _mel(hertz: float) -> float:
    return hertz / (200 / 3) if hertz < 1000 else 15 + np.log(hertz / 1000) / STEP
