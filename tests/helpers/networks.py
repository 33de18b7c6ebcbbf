"""Classifiers of any architecture, untrained, and noise to feed them."""

import torch

from ser.data.clips import Normaliser
from ser.models.classifier import ClassifierConfig, build_classifier


def build(arch, n_mels, frames, seed=0, n_classes=3):
    """A classifier without dropout whose normaliser changes nothing."""
    config = ClassifierConfig(arch=arch, pretrained="none", frames=frames, resize=None, dropout=0.0)
    return build_classifier(config, Normaliser.blank(n_mels), n_classes, seed)


def noise(*size):
    mels = torch.randn(*size, generator=torch.Generator().manual_seed(0))
    return mels.contiguous(memory_format=torch.channels_last)
