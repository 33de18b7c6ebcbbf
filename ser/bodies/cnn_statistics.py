"""The blocks of the small CNN, then the mean and the standard deviation over time (statistics pooling: Snyder et al.
2018, X-vectors, ICASSP)."""

import torch
from torch import nn

from ser import imagenet
from ser.bodies.cnn import CHANNELS, block


class Statistics(nn.Module):
    def forward(self, cells):
        """Cells [batch, channels, bands, frames] to [batch, 2 * channels * bands]."""
        std, mean = torch.std_mean(cells.float(), dim=3, correction=0)
        return torch.cat([mean, std], dim=1).flatten(1)


def build(n_mels, frames, pretrained):
    imagenet.refuse("cnn_statistics", pretrained)
    blocks = [block(before, after) for before, after in zip((1, *CHANNELS), CHANNELS)]
    return nn.Sequential(*blocks, Statistics()), 0
