"""Traditional augmentation of spectrograms: time and frequency masking (SpecAugment, Park et al. 2019, arXiv
1904.08779), time shift, Gaussian noise and amplitude scaling, drawn for every clip of a batch at once."""

import torch
from pydantic import Field

from ser.params import Section


class Masking(Section):
    probability: float = Field(ge=0, le=1)
    time: float = Field(ge=0, le=1)
    frequency: float = Field(ge=0, le=1)
    shift: float = Field(ge=0, le=1)
    noise: float = Field(ge=0)
    scale: float = Field(ge=0, lt=1)


def mask(mels, settings, generator):
    """Augment normalised mels `[batch, 1, n_mels, frames]`; with probability 1 - `settings.probability` the batch is
    returned as it is.

    `time` and `frequency` are the largest masked share of each axis, `shift` the largest circular shift as a share of
    the frames, `noise` the standard deviation added, `scale` the largest relative change of amplitude. Masked cells
    become 0, the mean of the training data. `generator` is a CPU torch.Generator, so that draws do not depend on the
    device.
    """
    if not settings.probability or torch.rand((), generator=generator) >= settings.probability:
        return mels
    batch, _, n_mels, frames = mels.shape

    def draw(low, high):
        return (low + (high - low) * torch.rand((batch, 1), generator=generator)).to(mels.device)

    def band(size, share):
        """Boolean `[batch, size]`, true inside one random band a clip, of at most `share` of the axis."""
        width = draw(0, int(share * size) + 1).floor().clamp(max=int(share * size))
        start = (draw(0, 1) * (size - width + 1)).floor().minimum(size - width)
        position = torch.arange(size, device=mels.device)
        return (position >= start) & (position < start + width)

    reach = int(settings.shift * frames)
    shift = draw(-reach, reach + 1).floor().clamp(max=reach).long()
    source = (torch.arange(frames, device=mels.device) - shift) % frames
    mels = mels.gather(3, source[:, None, None, :].expand_as(mels))
    mels = mels * draw(1 - settings.scale, 1 + settings.scale)[:, :, None, None]
    mels = mels + settings.noise * torch.randn(mels.shape, generator=generator).to(mels.device)
    hidden = band(n_mels, settings.frequency)[:, None, :, None] | band(frames, settings.time)[:, None, None, :]
    return mels.masked_fill(hidden, 0)
