"""The blocks of the small CNN, averaged over frequency, then mean and standard deviation over time (statistics pooling:
Snyder et al. 2018, X-Vectors, ICASSP)."""

import torch
from torch import nn

from ser import imagenet
from ser.bodies.cnn import CHANNELS, block

LEAST_VARIANCE = 1e-5  # keeps the gradient of the standard deviation finite


class Statistics(nn.Module):
    def forward(self, cells):
        """Cells [batch, channels, bands, frames] to [batch, 2 * channels]."""
        variance, mean = torch.var_mean(cells.float().mean(2), dim=2, correction=0)
        return torch.cat([mean, (variance + LEAST_VARIANCE).sqrt()], dim=1)


def build(n_mels, frames, pretrained):
    imagenet.refuse("cnn_statistics", pretrained)
    blocks = [block(before, after) for before, after in zip((1, *CHANNELS), CHANNELS)]
    return nn.Sequential(*blocks, Statistics()), 2 * CHANNELS[-1]
