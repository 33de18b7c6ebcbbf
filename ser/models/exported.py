"""The network that is exported, and where it lies."""

import torch
from torch import nn

from ser.models.classifier import build_classifier

FOLDER = "models/export"


class Network(nn.Module):
    """What is exported: crops in, probabilities out. The statistics of the training clips travel along."""

    def __init__(self, classifier, n_mels, emotions):
        super().__init__()
        self.classifier = build_classifier(classifier, n_mels, emotions, seed=0)
        self.register_buffer("mean", torch.zeros(n_mels))
        self.register_buffer("std", torch.ones(n_mels))

    def forward(self, crops):
        """Crops `[batch, n_mels, frames]` in dB below the clip's peak to probabilities `[batch, emotions]`."""
        normalised = (crops - self.mean[:, None]) / self.std[:, None]
        return torch.softmax(self.classifier(normalised[:, None]), dim=1)
