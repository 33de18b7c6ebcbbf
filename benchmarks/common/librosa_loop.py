"""Mel spectrograms as they are commonly made: a loop over the files, ten padded seconds and one .npy file a clip."""

from pathlib import Path

import librosa
import numpy as np


def run(paths, folder, settings, sample_rate=22050, seconds=10):
    for path in paths:
        samples, _ = librosa.load(path, sr=sample_rate)
        samples = librosa.util.fix_length(samples, size=sample_rate * seconds)
        np.save(Path(folder) / f"{Path(path).stem}.npy", mel(samples, settings, sample_rate))


def mel(samples, settings, sample_rate=22050):
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=sample_rate,
        n_fft=settings.n_fft,
        hop_length=settings.hop,
        n_mels=settings.n_mels,
        fmin=settings.fmin,
        fmax=settings.fmax,
    )
    return librosa.power_to_db(power, ref=np.max)
