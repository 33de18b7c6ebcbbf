"""Clips in memory as tensors: fixed-length crops of ragged mels, normalised with the training part's statistics."""

from dataclasses import dataclass

import numpy as np
import torch

from ser.data.mel_store import FLOOR_DB


@dataclass(frozen=True)
class Normaliser:
    """Mean and standard deviation of each mel band, `[n_mels]`, in dB."""

    mean: torch.Tensor
    std: torch.Tensor

    def __call__(self, mels):
        """dB `[..., n_mels, frames]` to zero mean and unit variance."""
        return (mels - self.mean[:, None]) / self.std[:, None]

    def to_db(self, mels):
        """The inverse, limited to the range of packed mels, [-80, 0] dB."""
        return (mels * self.std[:, None] + self.mean[:, None]).clamp(FLOOR_DB, 0)

    def tensors(self):
        return {"mean": self.mean.cpu(), "std": self.std.cpu()}


@dataclass(frozen=True)
class Clips:
    """Some clips of a pack on one device, in the order asked for, each with its emotion's number."""

    frames: torch.Tensor  # float16 [all frames, n_mels], dB
    start: torch.Tensor  # [clips]
    length: torch.Tensor  # [clips]
    emotion: torch.Tensor  # [clips]

    def __len__(self):
        return len(self.start)

    def crops(self, which, size, position):
        """Crops of clips `which` [n] as float32 `[n, 1, n_mels, size]`, dB.

        `position` in [0, 1] places the crop in the clip ([n], or one number for all: 0.5 is the centre). A clip
        shorter than `size` is placed in silence by the same number.
        """
        length = self.length[which]
        offset = torch.round(position * (length - size)).long()
        time = offset[:, None] + torch.arange(size, device=offset.device)
        inside = (time >= 0) & (time < length[:, None])
        index = self.start[which, None] + time.clamp(min=0).minimum(length[:, None] - 1)
        crops = torch.where(inside[:, :, None], self.frames[index].float(), FLOOR_DB)
        return crops.transpose(1, 2).unsqueeze(1)

    def covering(self, size):
        """Crops that cover every clip, as few as do, evenly spread; one alone is the centre: the numbers of their clips
        and their positions, both `[crops]`, in order of the clips."""
        count = (self.length / size).ceil().long()
        which = torch.arange(len(self), device=self.start.device).repeat_interleave(count)
        place = torch.arange(len(which), device=self.start.device) - (count.cumsum(0) - count)[which]
        return which, torch.where(count[which] > 1, place / (count[which] - 1).clamp(min=1), 0.5)

    def random_crops(self, which, size, generator):
        position = torch.rand(len(which), generator=generator).to(self.start.device)
        return self.crops(which, size, position)

    def normaliser(self):
        """Statistics of each mel band over all frames of these clips."""
        return Normaliser(self.frames.float().mean(0), self.frames.float().std(0).clamp(min=1e-3))

    def followed_by(self, other):
        """These clips and then those of `other`."""
        return Clips(
            torch.cat([self.frames, other.frames]),
            torch.cat([self.start, other.start + len(self.frames)]),
            torch.cat([self.length, other.length]),
            torch.cat([self.emotion, other.emotion]),
        )


def clips_from_mels(mels, emotion):
    """Mels [clips, n_mels, frames] in dB as Clips, each clip being one of them."""
    count, _, frames = mels.shape
    start = frames * torch.arange(count, device=mels.device)
    return Clips(mels.transpose(1, 2).flatten(0, 1).half(), start, torch.full_like(start, frames), emotion)


def load_clips(pack, names, emotion, emotions, device):
    """Load clips `names` of a pack as Clips on `device`; `emotion` gives each name's emotion, one of `emotions`."""
    rows = pack.index.set_index("clip").loc[names]
    length = np.array(rows.frames)
    frames = np.concatenate([pack.frames[row.start : row.start + row.frames] for row in rows.itertuples()])
    numbers = [emotions.index(emotion[name]) for name in names]
    tensors = frames, np.cumsum(length) - length, length, np.array(numbers)
    return Clips(*(torch.as_tensor(tensor, device=device) for tensor in tensors))
