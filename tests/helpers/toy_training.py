"""Short trainings of a small network on toy clips that are easy to tell apart."""

import numpy as np
import torch
from torch import nn

from ser.data.clips import Clips
from ser.training import loop
from ser.training.augmentation import AugmentationConfig

FRAMES, BANDS, CLASSES = 6, 6, 3
CONFIG = loop.TrainingConfig(
    epochs=6,
    ema=0.0,
    mixup=0.0,
    batch=8,
    optimiser="adamw",
    learning_rate=0.02,
    weight_decay=0.05,
    label_smoothing=0.1,
    precision="fp32",
)
OFF = AugmentationConfig(probability=0.0)


def toy_clips(count, seed):
    """Clips of 4 to 11 frames in which two of six bands, other ones for every class, are louder."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    length = rng.integers(4, 12, count)
    frames = rng.normal(-50, 6, (length.sum(), BANDS))
    frames += 12 * (np.arange(BANDS) // 2 == np.repeat(labels, length)[:, None])
    return Clips(*map(torch.as_tensor, (frames.astype(np.float16), np.cumsum(length) - length, length, labels)))


REAL, VALIDATION = toy_clips(44, 0), toy_clips(21, 1)


class Model(nn.Module):
    """A network with the interface of a Classifier."""

    def __init__(self, normaliser):
        super().__init__()
        torch.manual_seed(0)
        self.normaliser = normaliser
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(4 * BANDS * FRAMES, CLASSES),
        )

    def forward(self, mels):
        return self.backbone(mels)


def train(real=REAL, synthetic=None, share=0.0, validation=VALIDATION, augmentation=OFF, seed=0, log=None, **change):
    """Train a Model with `change` to CONFIG; return it and the metrics of every epoch."""
    model, history = Model(real.normaliser()), []

    def log_epoch(metrics):
        history.append(metrics)
        if log:
            log(model)

    sources, config = loop.Sources(real, synthetic, share), CONFIG.model_copy(update=change)
    loop.train(model, sources, validation, FRAMES, config, augmentation, seed, log_epoch)
    return model, history
