"""Traditional augmentation of spectrograms, drawn for every clip of a batch at once: other voices (vocal tract length
perturbation, Jaitly & Hinton 2013) and tempos, time and frequency masking (SpecAugment, Park et al. 2019, arXiv
1904.08779), time shift, Gaussian noise and amplitude scaling."""

from math import ceil

import torch
from pydantic import Field
from torch.nn import functional as F

from ser.core.params import Section


class Masking(Section):
    probability: float = Field(ge=0, le=1)
    voice: float = Field(ge=0, lt=1)
    tempo: float = Field(ge=0, lt=1)
    time: float = Field(ge=0, le=1)
    frequency: float = Field(ge=0, le=1)
    shift: float = Field(ge=0, le=1)
    noise: float = Field(ge=0)
    scale: float = Field(ge=0, lt=1)

    def reach(self, frames):
        """Length of the crops that `mask` makes `frames` of: the fastest tempo needs more."""
        return ceil(frames * (1 + self.tempo)) if self.probability else frames


def mask(mels, frames, settings, generator):
    """Augment normalised mels `[batch, 1, n_mels, settings.reach(frames)]` to `[batch, 1, n_mels, frames]`; with
    probability 1 - `settings.probability` the centre of the batch is returned as it is.

    `voice` and `tempo` are the largest relative stretch of the mel axis, from the lowest band up, and of speed. `time`
    and `frequency` are the largest masked share of each axis, `shift` the largest circular shift as a share of the
    frames, `noise` the standard deviation added, `scale` the largest relative change of amplitude. Masked cells become
    0, the mean of the training data. `generator` is a CPU torch.Generator, so that draws do not depend on the device.
    """
    batch, _, n_mels, reach = mels.shape
    if not settings.probability or torch.rand((), generator=generator) >= settings.probability:
        return mels.narrow(3, (reach - frames) // 2, frames)

    def draw(low, high):
        return (low + (high - low) * torch.rand((batch, 1), generator=generator)).to(mels.device)

    def band(size, share):
        """Boolean `[batch, size]`, true inside one random band a clip, of at most `share` of the axis."""
        width = draw(0, int(share * size) + 1).floor().clamp(max=int(share * size))
        start = (draw(0, 1) * (size - width + 1)).floor().minimum(size - width)
        position = torch.arange(size, device=mels.device)
        return (position >= start) & (position < start + width)

    def around(spread):
        return draw(1 - spread, 1 + spread)[:, 0]

    if settings.voice or settings.tempo:
        mels = _stretched(mels, frames, around(settings.voice), around(settings.tempo))
    furthest = int(settings.shift * frames)
    shift = draw(-furthest, furthest + 1).floor().clamp(max=furthest).long()
    source = (torch.arange(frames, device=mels.device) - shift) % frames
    mels = mels.gather(3, source[:, None, None, :].expand_as(mels))
    mels = mels * around(settings.scale)[:, None, None, None]
    mels = mels + settings.noise * torch.randn(mels.shape, generator=generator).to(mels.device)
    hidden = band(n_mels, settings.frequency)[:, None, :, None] | band(frames, settings.time)[:, None, None, :]
    return mels.masked_fill(hidden, 0)


def _stretched(mels, frames, voice, tempo):
    """The centre of mels `[batch, 1, n_mels, reach]` as `[batch, 1, n_mels, frames]`, each clip's bands times
    `voice` [batch] and its speed times `tempo` [batch]; beyond the highest band or the crop its edge goes on."""
    n_mels, reach = mels.shape[2:]
    band = (torch.arange(n_mels, device=mels.device) + 0.5) / n_mels / voice[:, None] * 2 - 1
    frame = (torch.arange(frames, device=mels.device) + 0.5 - frames / 2) * tempo[:, None] / reach * 2
    grid = torch.stack(torch.broadcast_tensors(frame[:, None, :], band[:, :, None]), dim=3)
    return F.grid_sample(mels, grid, padding_mode="border", align_corners=False)
