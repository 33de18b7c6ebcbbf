"""Clips in memory as tensors: crops of equal length from mels of any length, and their normalisation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ser.data.mel_store import FLOOR_DB, MelStore


class Normaliser(nn.Module):
    """Mean and standard deviation of each mel band, `[n_mels]`, in dB: buffers of the network that they belong to."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    @classmethod
    def blank(cls, n_mels: int) -> "Normaliser":
        """One that changes nothing, to load a state into."""
        return cls(torch.zeros(n_mels), torch.ones(n_mels))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "Normaliser":
        """The normaliser of a network whose state dict is `state`."""
        return cls(state["normaliser.mean"], state["normaliser.std"])

    @property
    def n_mels(self) -> int:
        return len(self.mean)

    def forward(self, mels: Tensor) -> Tensor:
        """Mels `[..., n_mels, frames]` in dB to zero mean and unit variance."""
        return (mels - self.mean[:, None]) / self.std[:, None]

    def to_db(self, mels: Tensor) -> Tensor:
        """The inverse, limited to the range of the mel store, [-80, 0] dB."""
        return (mels * self.std[:, None] + self.mean[:, None]).clamp(FLOOR_DB, 0)


@dataclass(frozen=True)
class Clips:
    """Clips of a mel store on one device, in the order asked for."""

    frames: Tensor  # float16 [all frames, n_mels], dB
    start: Tensor  # [clips], first frame
    length: Tensor  # [clips], in frames
    labels: Tensor  # [clips], class numbers

    def __len__(self) -> int:
        return len(self.start)

    @property
    def device(self) -> torch.device:
        return self.start.device

    def crops(self, clip_index: Tensor, size: int, position: Tensor | float) -> Tensor:
        """Crops of the clips `clip_index` [n] as float32 `[n, 1, n_mels, size]`, dB.

        `position` in [0, 1] places the crop in the clip ([n], or one number for all: 0.5 is the centre). A clip
        shorter than `size` is placed in silence by the same number.
        """
        length = self.length[clip_index]
        offset = torch.round(position * (length - size)).long()
        time = offset[:, None] + torch.arange(size, device=offset.device)
        inside = (time >= 0) & (time < length[:, None])
        index = self.start[clip_index, None] + time.clamp(min=0).minimum(length[:, None] - 1)
        crops = torch.where(inside[:, :, None], self.frames[index].float(), FLOOR_DB)
        return crops.transpose(1, 2).unsqueeze(1)

    def covering(self, size: int) -> tuple[Tensor, Tensor]:
        """As few crops as cover every clip, evenly spread; a single one is the centre.

        Returns the numbers of their clips and their positions, both `[crops]`, in order of the clips.
        """
        count = (self.length / size).ceil().long()
        clip_index = torch.arange(len(self), device=self.device).repeat_interleave(count)
        place = torch.arange(len(clip_index), device=self.device) - (count.cumsum(0) - count)[clip_index]
        last = (count[clip_index] - 1).clamp(min=1)
        return clip_index, torch.where(count[clip_index] > 1, place / last, 0.5)

    def random_crops(self, clip_index: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """As `crops`, each at a random position."""
        position = torch.rand(len(clip_index), generator=rng).to(self.device)
        return self.crops(clip_index, size, position)

    def normaliser(self) -> Normaliser:
        """Statistics of each mel band over all frames of these clips."""
        return Normaliser(self.frames.float().mean(0), self.frames.float().std(0).clamp(min=1e-3))

    def followed_by(self, other: "Clips") -> "Clips":
        """These clips and then those of `other`."""
        return Clips(
            torch.cat([self.frames, other.frames]),
            torch.cat([self.start, other.start + len(self.frames)]),
            torch.cat([self.length, other.length]),
            torch.cat([self.labels, other.labels]),
        )

    def subset(self, clip_index: Tensor) -> "Clips":
        """The clips with these numbers [n], in this order."""
        clip_index = clip_index.to(self.device)
        return replace(
            self, start=self.start[clip_index], length=self.length[clip_index], labels=self.labels[clip_index]
        )


def clips_from_mels(mels: Tensor, labels: Tensor) -> Clips:
    """Mels `[clips, n_mels, frames]` in dB as Clips, one per mel."""
    count, _, frames = mels.shape
    start = frames * torch.arange(count, device=mels.device)
    return Clips(mels.transpose(1, 2).flatten(0, 1).half(), start, torch.full_like(start, frames), labels)


def load_clips(
    store: MelStore,
    names: Sequence[str],
    emotion_of: Mapping[str, str],  # the emotion of each clip
    class_names: Sequence[str],
    device: torch.device,
) -> Clips:
    """The clips `names` of a mel store as Clips on `device`, in that order."""
    rows = store.index.set_index("clip").loc[list(names)]
    length = np.array(rows.frames)
    frames = np.concatenate([store.frames[row.start : row.start + row.frames] for row in rows.itertuples()])
    labels = np.array([class_names.index(emotion_of[name]) for name in names])
    tensors = frames, np.cumsum(length) - length, length, labels
    return Clips(*(torch.as_tensor(tensor, device=device) for tensor in tensors))
