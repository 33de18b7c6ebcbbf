"""The enhancement of one clip under an emotion, by the generator of the study's first fold."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ser.core import checkpoints, params
from ser.core.rng import make_rng
from ser.data.dataset import Dataset
from ser.generators import base
from ser.generators.base import EnhancementConfig

Enhance = Callable[[np.ndarray, str, float], np.ndarray]
SEED = 0  # the same clip sounds the same again


def load(name: str, dataset: Dataset) -> Enhance:
    """A function of a mel `[n_mels, frames]` in dB, an emotion and a strength that returns the enhanced mel."""
    generator_class: Any = base.get(name)
    fit_config: Any = params.read(f"generators.{name}.fit", generator_class.FitConfig)
    config = params.read("enhancement", EnhancementConfig)
    fold = dataset.folds[0]
    generator = generator_class.restore(checkpoints.load(f"models/generators/{name}", fold), fit_config)
    centroids = checkpoints.load("data/embeddings", fold)["centroids"]

    def enhance(mel: np.ndarray, emotion: str, strength: float) -> np.ndarray:
        """At most the first `frames` of the clip, as many as the generator can make."""
        labels = torch.tensor([dataset.class_names.index(emotion)])
        (enhanced,) = generator.enhance(
            [generator.normaliser(torch.from_numpy(mel[:, : fit_config.frames]))],
            labels,
            centroids[labels],
            config.model_copy(update={"strength": strength}),
            make_rng(SEED),
        )
        return generator.normaliser.to_db(enhanced).numpy()

    return enhance
