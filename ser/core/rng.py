"""Seeds and random numbers."""

from enum import IntEnum

import numpy as np
import torch

from ser.core.fold import Fold


class Stream(IntEnum):
    """What random numbers are drawn for. Each stream has a seed of its own in every fold and run."""

    WEIGHTS = 0  # initial weights of the classifier, the same in every arm, run by run
    TRAINING = 1  # batches, crops, augmentation and dropout of the classifier
    FIT = 2  # everything in the fit of a generator
    SAMPLE = 3  # synthetic clips
    QUALITY_CLIPS = 4  # which clips are compared
    QUALITY_TRAINING_CLIPS = 5  # which clips the classifiers of the quality check are trained on
    QUALITY_WEIGHTS = 6
    QUALITY_TRAINING = 7
    QUALITY_CROPS = 8
    ENHANCE = 9
    EXPORT_WEIGHTS = 10
    EXPORT_TRAINING = 11
    AUTOENCODER = 12


def derive_seed(seed: int, stream: Stream, fold: Fold | None = None, *more: int) -> int:
    """The seed of a stream, well mixed from the experiment's `seed`, the fold (or run) and any further numbers."""
    numbers = fold.numbers if fold else ()
    return int(np.random.SeedSequence((seed, *numbers, stream, *more)).generate_state(1)[0])


def make_rng(seed: int) -> torch.Generator:
    """A generator of random numbers on the CPU, so that the draws do not depend on the device."""
    return torch.Generator().manual_seed(seed)
