"""The enhancement of one clip under an emotion, by the generator of the study's first fold."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ser.core import checkpoints, params
from ser.core.rng import make_rng
from ser.data.clips import clips_from_mels
from ser.data.dataset import Dataset
from ser.generators import base
from ser.generators.base import EnhancementConfig

Enhance = Callable[[np.ndarray, str, EnhancementConfig], np.ndarray]
SEED = 0  # the same clip sounds the same again


def load(name: str, dataset: Dataset) -> Enhance:
    """A function of a mel `[n_mels, frames]` in dB, an emotion and a configuration that returns the enhanced mel."""
    generator_class: Any = base.get(name)
    fit_config: Any = params.read(f"generators.{name}.fit", generator_class.FitConfig)
    fold = dataset.folds[0]
    generator = generator_class.restore(checkpoints.load(f"models/generators/{name}", fold), fit_config)
    centroids = checkpoints.load("data/embeddings", fold)["centroids"]

    def enhance(mel: np.ndarray, emotion: str, config: EnhancementConfig) -> np.ndarray:
        """In pieces of at most as many frames as the generator can make, as in the study."""
        clip = clips_from_mels([torch.from_numpy(mel)], torch.zeros(1, dtype=torch.long))
        _, pieces = clip.pieces(fit_config.frames)
        labels = torch.full((len(pieces),), dataset.class_names.index(emotion))
        normalised = [generator.normaliser(piece) for piece in pieces]
        enhanced = generator.enhance(normalised, labels, centroids[labels], config, make_rng(SEED))
        return torch.cat([generator.normaliser.to_db(piece) for piece in enhanced], dim=1).numpy()

    return enhance
