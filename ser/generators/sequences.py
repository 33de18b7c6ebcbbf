"""Whole clips as sequences of tokens, several frames each: what sequence models are trained on.

Clips are left-aligned and end where they end; nothing is padded but within a batch. Every clip is kept in several
copies, each stretched along time and frequency (as by VTLP and time stretching) by factors of its own, which models are
told, so that they learn from the copies and still draw clips that are not stretched (Karras et al. 2020, arXiv
2006.06676).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ser.data.clips import Clips, Normaliser
from ser.generators.conditions import scaled

FRAMES = 4  # of a token
POOL = 8  # batches that are drawn together and sorted by length, so that clips of a batch are about as long
BATCH = 64  # clips turned into tokens at once


@dataclass(frozen=True)
class Sequences:
    """Copies of clips as tokens on one device."""

    tokens: Tensor  # [all tokens, width]
    start: Tensor  # [copies], first token
    length: Tensor  # [copies], in tokens
    clip_index: Tensor  # [copies], the number of the clip
    numbers: Tensor  # [copies, NUMBERS], length and stretches (`conditions.scaled`)

    def batches(self, size: int, rng: torch.Generator) -> Iterator[Tensor]:
        """Endless batches of numbers of copies, of about the same length within a batch."""
        length = self.length.cpu()
        while True:
            pool = torch.randperm(len(length), generator=rng)[: size * POOL]
            pool = pool[length[pool].argsort(stable=True)]
            batches = pool.split(size)
            for number in torch.randperm(len(batches), generator=rng).tolist():
                yield batches[number].to(self.length.device)

    def padded(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The copies `index` [n] as tokens `[n, longest, width]`, zero beyond their end, and their lengths [n]."""
        length = self.length[index]
        position = torch.arange(int(length.max()), device=index.device)
        source = self.start[index, None] + position.minimum(length[:, None] - 1)
        return self.tokens[source] * inside(length, len(position))[:, :, None], length


def inside(length: Tensor, count: int) -> Tensor:
    """Which of `count` places lie in sequences of `length` [n], bool `[n, count]`."""
    return torch.arange(count, device=length.device) < length[:, None]


def make(
    clips: Clips,
    normaliser: Normaliser,
    to_tokens: Callable[[Tensor], Tensor],  # from normalised mels [batch, n_mels, frames] to [batch, tokens, width]
    longest: int,  # frames; longer clips are cut
    copies: int,  # per clip, of which the first is not stretched
    spread: float,  # largest relative stretch
    rng: torch.Generator,
) -> Sequences:
    """The clips as sequences of tokens."""
    order = clips.length.argsort(stable=True)
    parts: dict[str, list[Tensor]] = {"tokens": [], "length": [], "clip_index": [], "numbers": []}
    for copy in range(copies):
        factors = 1 + (spread * (2 * torch.rand((len(clips), 2), generator=rng) - 1) if copy else torch.zeros(1, 2))
        factors = factors.expand(len(clips), 2).to(clips.device)
        for index in order.split(BATCH):
            height, speed = factors[index].T
            mels, frames = stretched(clips, index, normaliser, height, speed, longest)
            length = n_tokens(frames)
            tokens = to_tokens(mels)
            own = tokens[inside(length, tokens.shape[1])].float()
            numbers = scaled(frames, height, speed)
            for name, part in zip(parts, (own, length, index, numbers), strict=True):
                parts[name].append(part)
    joined = {name: torch.cat(values) for name, values in parts.items()}
    return Sequences(start=joined["length"].cumsum(0) - joined["length"], **joined)


def join(tokens: list[Tensor], clip_index: Tensor) -> Sequences:
    """Tokens `[tokens, width]` made from the clips `clip_index` [copies], not stretched."""
    length = torch.tensor([len(each) for each in tokens], device=clip_index.device)
    numbers = scaled(FRAMES * length, 1.0, 1.0)
    return Sequences(torch.cat(tokens), length.cumsum(0) - length, length, clip_index, numbers)


def patches(mels: Tensor) -> Tensor:
    """Mels `[batch, n_mels, frames]` as patches of FRAMES frames, `[batch, frames / FRAMES, n_mels * FRAMES]`."""
    return mels.unflatten(2, (-1, FRAMES)).transpose(1, 2).flatten(2)


def from_patches(cells: Tensor) -> Tensor:
    """The inverse of `patches`."""
    return cells.unflatten(2, (-1, FRAMES)).transpose(1, 2).flatten(2)


def n_tokens(frames: Tensor) -> Tensor:
    """How many tokens clips of so many frames have."""
    return -(-frames // FRAMES)


def stretched(
    clips: Clips,
    clip_index: Tensor,  # [batch]
    normaliser: Normaliser,
    height: Tensor,  # [batch], factor by which the mel axis is stretched
    speed: Tensor,  # [batch], factor of the speed
    longest: int,  # frames
) -> tuple[Tensor, Tensor]:
    """Whole clips, left-aligned: normalised mels `[batch, n_mels, frames]` and their lengths in frames [batch].

    The number of frames is a multiple of FRAMES; beyond its end a clip is silent.
    """
    length = clips.length[clip_index].clamp(max=longest)
    source = normaliser(clips.left_aligned(clip_index, int(length.max())))
    n_mels, width = source.shape[1:]
    frames = (length / speed).round().long().clamp(1, longest)
    count = FRAMES * int(n_tokens(frames).max())
    time = (torch.arange(count, device=clips.device) + 0.5) * speed[:, None] / width * 2 - 1
    band = (torch.arange(n_mels, device=clips.device) + 0.5) / n_mels / height[:, None] * 2 - 1
    grid = torch.stack(torch.broadcast_tensors(time[:, None, :], band[:, :, None]), dim=3)
    mels = F.grid_sample(source[:, None], grid, "bicubic", "border", align_corners=False)[:, 0]
    return torch.where(inside(frames, count)[:, None], mels, normaliser.silence()), frames
