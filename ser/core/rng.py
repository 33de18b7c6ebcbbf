"""Random numbers."""

import numpy as np
import torch


def derive_seed(*numbers):
    """One well-mixed seed from several, for instance (seed, repeat, fold)."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def make_rng(seed):
    """A CPU generator, so that what is drawn does not depend on the device."""
    return torch.Generator().manual_seed(seed)
