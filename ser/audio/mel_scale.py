"""Slaney's mel scale: linear to 1000 Hz, which is 15 mel, logarithmic above."""

import numpy as np

STEP = np.log(6.4) / 27  # of the logarithm, a mel


def frequencies(count, low, high):
    """`count` frequencies, evenly spaced on the scale from `low` to `high` Hz; as `librosa.mel_frequencies`."""
    mels = np.linspace(_mel(low), _mel(high), count)
    return np.where(mels < 15, 200 / 3 * mels, 1000 * np.exp(STEP * (mels - 15)))


def _mel(hertz):
    return hertz / (200 / 3) if hertz < 1000 else 15 + np.log(hertz / 1000) / STEP
