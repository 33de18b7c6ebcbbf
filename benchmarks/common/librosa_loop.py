"""Mel spectrograms as they are commonly made: a loop over the files, padded to ten seconds, one .npy file per clip."""

from pathlib import Path

import librosa
import numpy as np

from ser.audio.mel import MelConfig


def run(paths: list[str], folder: str, config: MelConfig, sample_rate: int = 22050, seconds: int = 10) -> None:
    for path in paths:
        samples, _ = librosa.load(path, sr=sample_rate)
        samples = librosa.util.fix_length(samples, size=sample_rate * seconds)
        np.save(Path(folder) / f"{Path(path).stem}.npy", mel(samples, config, sample_rate))


def mel(samples: np.ndarray, config: MelConfig, sample_rate: int = 22050) -> np.ndarray:
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop,
        n_mels=config.n_mels,
        fmin=config.fmin,
        fmax=config.fmax,
    )
    return librosa.power_to_db(power, ref=np.max)
