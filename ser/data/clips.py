"""Clips in memory as tensors: crops of equal length from mels of any length, and their normalisation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

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

    def silence(self) -> Tensor:
        """What normalised mels are where nothing is heard, `[n_mels, 1]`."""
        return self(torch.full((self.n_mels, 1), FLOOR_DB, device=self.mean.device))

    def padded(self, mel: Tensor, frames: int) -> Tensor:
        """A normalised mel `[n_mels, n]` as `[n_mels, frames]`, with silence after its end."""
        return F.pad(mel - self.silence(), (0, frames - mel.shape[1])) + self.silence()

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

    def left_aligned(self, clip_index: Tensor, size: int) -> Tensor:
        """The first `size` frames of the clips `clip_index` [n] as float32 `[n, n_mels, size]`, dB, then silence."""
        length = self.length[clip_index, None]
        time = torch.arange(size, device=self.device)
        index = self.start[clip_index, None] + time.minimum(length - 1)
        return torch.where((time < length)[:, :, None], self.frames[index].float(), FLOOR_DB).transpose(1, 2)

    def pieces(self, longest: int) -> tuple[Tensor, list[Tensor]]:
        """The clips, in as few pieces of about the same length as have at most `longest` frames each.

        Returns the numbers of their clips [pieces], and the pieces as float32 mels `[n_mels, frames]`, dB.
        """
        numbers: list[int] = []
        pieces: list[Tensor] = []
        for number, (start, length) in enumerate(zip(self.start.tolist(), self.length.tolist(), strict=True)):
            parts = self.frames[start : start + length].float().T.tensor_split(-(-length // longest), dim=1)
            numbers += [number] * len(parts)
            pieces += parts
        return torch.tensor(numbers, device=self.device), pieces

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


def trimmed(mel: Tensor, trim_db: float | None) -> Tensor:
    """A mel `[n_mels, frames]` in dB as the mel store has them: its peak at 0 dB, without quiet ends.

    Frames at either end are cut whose power over all bands is more than `trim_db` below that of the loudest frame.
    """
    mel = (mel - mel.max()).clamp(min=FLOOR_DB)
    if trim_db is None:
        return mel
    level = 10 * torch.log10((10 ** (mel / 10)).sum(0))
    loud = torch.nonzero(level >= level.max() - trim_db)[:, 0]
    return mel[:, loud[0] : loud[-1] + 1]


def clips_from_mels(mels: Sequence[Tensor], labels: Tensor) -> Clips:
    """Mels `[n_mels, frames]` in dB, each of its own length, as Clips on the device of `labels` [clips]."""
    length = torch.tensor([mel.shape[1] for mel in mels], device=labels.device)
    frames = torch.cat([mel.T.half() for mel in mels]).to(labels.device)
    return Clips(frames, length.cumsum(0) - length, length, labels)


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
