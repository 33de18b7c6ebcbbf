"""A network without convolutions: mean and standard deviation of each mel band over time, then two hidden layers."""

import torch
from torch import Tensor, nn

from ser.models import imagenet

HIDDEN = 256


class StatisticsPooling(nn.Module):
    def forward(self, mels: Tensor) -> Tensor:
        """Mels [batch, 1, n_mels, frames] to [batch, 2 * n_mels]."""
        std, mean = torch.std_mean(mels, dim=3, correction=0)
        return torch.cat([mean, std], dim=2).flatten(1)


def build(n_mels: int, frames: int, pretrained: bool) -> tuple[nn.Module, int]:
    imagenet.refuse_pretrained("mlp", pretrained)
    layers = (
        StatisticsPooling(),
        nn.Linear(2 * n_mels, HIDDEN),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
    )
    return nn.Sequential(*layers), HIDDEN
