"""Mixtures of two training clips of an emotion in the latent space of the autoencoder: where `vae` and `gan` start.

A mixture lies on the line between the tokens of two clips, if possible of two speakers who say the same sentence; the
second is brought to the length of the first. Interpolation in a latent space as augmentation: DeVries & Taylor 2017,
arXiv 1702.05538.
"""

from collections.abc import Callable
from typing import Self

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from ser.core.params import Config
from ser.core.rng import make_rng
from ser.generators import sequences
from ser.generators.base import TrainingPart
from ser.generators.conditions import EMOTION, SPEAKER, TEXT, Conditions


class Shares(Config):
    """Of the second clip in a mixture, drawn evenly between the two."""

    nearest: float = Field(ge=0, le=1)
    farthest: float = Field(ge=0, le=1)

    @field_validator("farthest")
    @classmethod
    def _not_nearer(cls, farthest: float, info: ValidationInfo) -> float:
        if farthest < info.data.get("nearest", 0.0):
            raise ValueError("must not be less than `nearest`")
        return farthest


class Mixtures(nn.Module):
    """The tokens and conditions of the training clips, which are mixed. It is a part of a generator's state."""

    tokens: Tensor  # float16 [all tokens, latents], in the order of the clips
    length: Tensor  # [clips], in tokens

    def __init__(self, conditions: Conditions, tokens: Tensor, length: Tensor) -> None:
        super().__init__()
        self.conditions = conditions
        self.register_buffer("tokens", tokens)
        self.register_buffer("length", length)

    @classmethod
    def of(cls, part: TrainingPart, encode: Callable[[Tensor], Tensor], longest: int) -> Self:
        """Of clips of at most `longest` frames; `encode` turns mels into tokens as in `sequences.make`."""
        encoded = sequences.make(part.clips, part.normaliser, encode, longest, 1, 0.0, make_rng(0))
        order = encoded.clip_index.argsort()
        start, length = encoded.start.tolist(), encoded.length.tolist()
        tokens = [encoded.tokens[start[number] :][: length[number]] for number in order.tolist()]
        conditions = Conditions(part.factors, part.clips.length.clamp(max=longest))
        return cls(conditions, torch.cat(tokens).half(), encoded.length[order])

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        """Those whose state dict is `state`."""
        return cls(Conditions.from_state(state), state["tokens"], state["length"])

    def first_clips(self, label: int, count: int, rng: torch.Generator) -> Tensor:
        """The numbers of `count` random training clips of the class `label`, on the CPU."""
        own = torch.nonzero(self.conditions.of_emotion(label))[:, 0].cpu()
        return own[torch.randint(len(own), (count,), generator=rng)]

    def draw(self, clip_index: Tensor, shares: Shares, rng: torch.Generator) -> list[Tensor]:
        """A mixture of each of the clips `clip_index` with another one, as tokens `[tokens, latents]`."""
        codes = self.conditions.codes.cpu()
        start = (self.length.cumsum(0) - self.length).tolist()
        length = self.length.tolist()
        mixed = []
        for clip in clip_index.tolist():
            partner = self._partner(clip, codes, rng)
            one, other = (self.tokens[start[each] :][: length[each]].float().T[None] for each in (clip, partner))
            other = F.interpolate(other, size=one.shape[2], mode="linear")
            share = shares.nearest + (shares.farthest - shares.nearest) * float(torch.rand((), generator=rng))
            mixed.append((one + share * (other - one))[0].T)
        return mixed

    @staticmethod
    def _partner(clip: int, codes: Tensor, rng: torch.Generator) -> int:
        own = torch.nonzero(codes[:, EMOTION] == codes[clip, EMOTION])[:, 0]
        others = own[codes[own, SPEAKER] != codes[clip, SPEAKER]]
        same_text = others[codes[others, TEXT] == codes[clip, TEXT]]
        partners = next(clips for clips in (same_text, others, own) if len(clips))
        return int(partners[torch.randint(len(partners), (1,), generator=rng)])
