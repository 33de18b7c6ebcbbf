"""The network that is exported, and where it lies."""

import torch
from torch import Tensor, nn

from ser.models.classifier import Classifier

FOLDER = "models/export"


class Network(nn.Module):
    """What is exported: crops in dB in, calibrated probabilities out."""

    temperature: Tensor  # by which logits are divided

    def __init__(self, classifier: Classifier, temperature: float = 1.0) -> None:
        super().__init__()
        self.classifier = classifier
        self.register_buffer("temperature", torch.tensor(temperature))

    def forward(self, crops: Tensor) -> Tensor:
        """Crops `[batch, n_mels, frames]` in dB below the clip's peak to probabilities `[batch, classes]`."""
        return torch.softmax(self.classifier(self.classifier.normaliser(crops)[:, None]) / self.temperature, dim=1)
