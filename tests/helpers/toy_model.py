"""An exported model with random weights, and sounds to recognise."""

from pathlib import Path

import numpy as np
import soundfile
import torch

from ser.core import checkpoints, params
from ser.data.clips import Normaliser
from ser.models.classifier import ClassifierConfig, build_classifier
from ser.models.exported import Network

EMOTIONS, RATE, FRAMES, N_MELS = ["anger", "neutral", "sadness"], 16000, 20, 16
PARAMS = {
    "emotions": EMOTIONS,
    "audio": {"sample_rate": RATE, "channel": "mean", "trim_db": 30.0, "remove_mean": False},
    "mels": {"n_fft": 512, "hop": 256, "n_mels": N_MELS, "fmin": 0.0, "fmax": 8000.0},
    "classifier": {"arch": "cnn", "pretrained": "none", "frames": FRAMES, "resize": None, "dropout": 0.5},
}


def export(folder: Path) -> Path:
    """Write the model to `folder`, as the stage `export` does."""
    normaliser = Normaliser(torch.full((N_MELS,), -40.0), torch.full((N_MELS,), 20.0))
    config = params.check(PARAMS["classifier"], ClassifierConfig)
    network = Network(build_classifier(config, normaliser, len(EMOTIONS), seed=0)).eval()
    checkpoints.save(folder / "model", network.state_dict(), {"arm": "baseline", "unsure_below": 0.3, "params": PARAMS})
    return folder


def speak(path: Path, seconds: float = 1.0, rate: int = RATE, pitch: float = 200) -> Path:
    """Write a buzz that swells and fades to `path`."""
    time = np.arange(int(seconds * rate)) / rate
    samples = np.sign(np.sin(2 * np.pi * pitch * time)) * np.sin(np.pi * time / max(seconds, 1e-9)) * 0.5
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)
    return path
