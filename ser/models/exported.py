"""The network that is exported, and where it lies."""

import torch
from torch import Tensor, nn

from ser.models.classifier import Classifier

FOLDER = "models/export"


class Network(nn.Module):
    """What is exported: crops in dB in, probabilities out."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, crops: Tensor) -> Tensor:
        """Crops `[batch, n_mels, frames]` in dB below the clip's peak to probabilities `[batch, classes]`."""
        return torch.softmax(self.classifier(self.classifier.normaliser(crops)[:, None]), dim=1)
