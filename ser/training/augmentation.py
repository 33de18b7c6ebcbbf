"""Traditional augmentation of spectrograms, drawn for every clip of a batch at once.

VTLP (vocal tract length perturbation, Jaitly & Hinton 2013) and time stretching, time and frequency masking
(SpecAugment, Park et al. 2019, arXiv 1904.08779), time shift, Gaussian noise and amplitude scaling.
"""

from math import ceil

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ser.core.params import Config


class AugmentationConfig(Config):
    """The knobs of a policy; a knob that is not named is off."""

    probability: float = Field(default=1.0, ge=0, le=1)  # that a batch is augmented
    vtlp: float = Field(default=0.0, ge=0, lt=1)  # largest relative stretch of the mel axis, from the lowest band up
    time_stretch: float = Field(default=0.0, ge=0, lt=1)  # largest relative change of speed
    time_mask: float = Field(default=0.0, ge=0, le=1)  # largest masked share of the frames
    frequency_mask: float = Field(default=0.0, ge=0, le=1)  # largest masked share of the mel bands
    shift: float = Field(default=0.0, ge=0, le=1)  # largest circular shift, as a share of the frames
    noise: float = Field(default=0.0, ge=0)  # standard deviation of the noise added
    scale: float = Field(default=0.0, ge=0, lt=1)  # largest relative change of amplitude

    def source_frames(self, frames: int) -> int:
        """Length of the crops that `augment` makes `frames` of: the fastest speech needs more."""
        return ceil(frames * (1 + self.time_stretch)) if self.probability else frames


def augment(mels: Tensor, frames: int, config: AugmentationConfig, rng: torch.Generator) -> Tensor:
    """Augment normalised mels `[batch, 1, n_mels, config.source_frames(frames)]` to `[batch, 1, n_mels, frames]`.

    With probability 1 - `config.probability` the centre of the batch is returned unchanged. Masked cells become 0, the
    mean of the training data. `rng` is on the CPU, so that the draws do not depend on the device.
    """
    batch, _, n_mels, source_frames = mels.shape
    if not config.probability or torch.rand((), generator=rng) >= config.probability:
        return mels.narrow(3, (source_frames - frames) // 2, frames)

    def draw(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand((batch, 1), generator=rng)).to(mels.device)

    def around_one(spread: float) -> Tensor:
        return draw(1 - spread, 1 + spread)[:, 0]

    def band(size: int, share: float) -> Tensor:
        """Boolean `[batch, size]`, true inside one random band per clip, of at most `share` of the axis."""
        width = draw(0, int(share * size) + 1).floor().clamp(max=int(share * size))
        start = (draw(0, 1) * (size - width + 1)).floor().minimum(size - width)
        position = torch.arange(size, device=mels.device)
        return (position >= start) & (position < start + width)

    if config.vtlp or config.time_stretch:
        mels = _stretch(mels, frames, around_one(config.vtlp), around_one(config.time_stretch))
    furthest = int(config.shift * frames)
    shift = draw(-furthest, furthest + 1).floor().clamp(max=furthest).long()
    source = (torch.arange(frames, device=mels.device) - shift) % frames
    mels = mels.gather(3, source[:, None, None, :].expand_as(mels))
    mels = mels * around_one(config.scale)[:, None, None, None]
    mels = mels + config.noise * torch.randn(mels.shape, generator=rng).to(mels.device)
    masked = band(n_mels, config.frequency_mask)[:, None, :, None] | band(frames, config.time_mask)[:, None, None, :]
    return mels.masked_fill(masked, 0)


def _stretch(mels: Tensor, frames: int, height: Tensor, speed: Tensor) -> Tensor:
    """The centre of mels `[batch, 1, n_mels, source_frames]` as `[batch, 1, n_mels, frames]`.

    The mel axis of each clip is stretched by `height` [batch] and its speed multiplied by `speed` [batch]; beyond the
    highest band or the crop its edge is repeated.
    """
    n_mels, source_frames = mels.shape[2:]
    band = (torch.arange(n_mels, device=mels.device) + 0.5) / n_mels / height[:, None] * 2 - 1
    frame = (torch.arange(frames, device=mels.device) + 0.5 - frames / 2) * speed[:, None] / source_frames * 2
    grid = torch.stack(torch.broadcast_tensors(frame[:, None, :], band[:, :, None]), dim=3)
    return F.grid_sample(mels, grid, padding_mode="border", align_corners=False)
