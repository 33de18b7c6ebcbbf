"""The simple network without convolutions: the mean and the standard deviation of each mel band over time, then two
hidden layers with dropout."""

import torch
from torch import nn

from ser.models import imagenet

HIDDEN = 256


class Pooled(nn.Module):
    def forward(self, mels):
        std, mean = torch.std_mean(mels, dim=3, correction=0)
        return torch.cat([mean, std], dim=2).flatten(1)


def build(n_mels, frames, pretrained):
    imagenet.refuse("mlp", pretrained)
    layers = (
        Pooled(),
        nn.Linear(2 * n_mels, HIDDEN),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
    )
    return nn.Sequential(*layers), HIDDEN
