"""A small CNN with statistics pooling (Snyder et al. 2018, X-Vectors, ICASSP), then a hidden layer.

Pooled are the mean and the standard deviation over time of every channel in every remaining band. Bands are not
averaged: the height of a pattern counts. The first convolution leaves every fourth frame; every second one would
take twice the time for 0.7 ± 0.6 points of UA (docs/choices.md).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from ser.models import imagenet

CHANNELS = (32, 64, 128, 256)
POOLS = ((2, 2), (2, 2), (2, 1))  # bands and frames, of each block
HIDDEN = 256
LEAST_VARIANCE = 1e-5  # keeps the gradient of the standard deviation finite


class Statistics(nn.Module):
    def forward(self, cells: Tensor) -> Tensor:
        """Cells [batch, channels, bands, frames] to [batch, 2 * channels * bands]."""
        cells = cells.float()
        mean = cells.mean(3, keepdim=True)
        variance = (cells - mean).square().mean(3, keepdim=True)
        return torch.cat([mean, (variance + LEAST_VARIANCE).sqrt()], dim=1).flatten(1)


def build(n_mels: int, frames: int, pretrained: bool) -> tuple[nn.Module, int]:
    imagenet.refuse_pretrained("cnn_statistics", pretrained)
    first = nn.Conv2d(1, CHANNELS[0], (5, 7), stride=(2, 4), padding=(2, 3), bias=False)
    blocks = [block(*channels, pool) for channels, pool in zip(pairwise(CHANNELS), POOLS, strict=True)]
    bands = -(-n_mels // 2 ** len(CHANNELS))
    hidden = nn.Sequential(nn.Linear(2 * CHANNELS[-1] * bands, HIDDEN, bias=False), nn.BatchNorm1d(HIDDEN), nn.ReLU())
    return nn.Sequential(first, nn.BatchNorm2d(CHANNELS[0]), nn.ReLU(), *blocks, Statistics(), hidden), HIDDEN


def block(inputs: int, outputs: int, pool: tuple[int, int]) -> nn.Module:
    """A convolution from `inputs` to `outputs` channels, and pooling before the rest, to save computation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.MaxPool2d(pool, ceil_mode=True),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
