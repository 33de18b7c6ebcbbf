"""Clips between two training clips, in the latent space of a variational autoencoder.

A sample lies on the line between the tokens of two training clips of an emotion, if possible of two speakers who say
the same sentence; the second is brought to the length of the first. Interpolation in a latent space as augmentation:
DeVries & Taylor 2017, arXiv 1702.05538.
"""

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor
from torch.nn import functional as F

from ser.core.checkpoints import submodule
from ser.core.device import Precision
from ser.core.optim import Log
from ser.core.params import Config
from ser.core.rng import make_rng
from ser.data.clips import Normaliser
from ser.generators import base, sequences
from ser.generators.autoencoder import Autoencoder
from ser.generators.base import TrainingPart
from ser.generators.conditions import SPEAKER, TEXT, Conditions
from ser.generators.sequences import FRAMES


class VAEConfig(Config):
    frames: int = Field(gt=0, multiple_of=FRAMES)
    precision: Precision


class VAESampleConfig(Config):
    count: int = Field(gt=0)
    nearest: float = Field(ge=0, le=1)
    farthest: float = Field(ge=0, le=1)

    @field_validator("farthest")
    @classmethod
    def _not_nearer(cls, farthest: float, info: ValidationInfo) -> float:
        if farthest < info.data.get("nearest", 0.0):
            raise ValueError("must not be less than `nearest`")
        return farthest


class VAE(base.Generator):
    """An autoencoder, the tokens of the training clips and their factors."""

    FitConfig = VAEConfig
    SampleConfig = VAESampleConfig
    tokens: Tensor  # float16 [all tokens, latents]
    length: Tensor  # [clips], in tokens

    def __init__(
        self,
        config: VAEConfig,
        normaliser: Normaliser,
        conditions: Conditions,
        autoencoder: Autoencoder,
        tokens: Tensor,
        length: Tensor,
    ) -> None:
        super().__init__(config, normaliser)
        self.conditions = conditions
        self.autoencoder = autoencoder
        self.register_buffer("tokens", tokens)
        self.register_buffer("length", length)

    @classmethod
    def fit(cls, part: TrainingPart, config: VAEConfig, seed: int, log: Log) -> "VAE":
        """Encode the training clips; the autoencoder is fitted already. `log` takes its squared error, by batch."""

        def encode(mels: Tensor) -> Tensor:
            tokens = part.autoencoder.encode(mels, config.precision)
            decoded = part.autoencoder.decode(tokens, config.precision)
            log({"loss": float((decoded - mels).square().mean())})
            return tokens

        encoded = sequences.make(part.clips, part.normaliser, encode, config.frames, 1, 0.0, make_rng(seed))
        order = encoded.clip_index.argsort()
        tokens = [encoded.tokens[start : start + length] for start, length in zip(encoded.start, encoded.length)]
        conditions = Conditions(part.factors, part.clips.length.clamp(max=config.frames))
        in_order = torch.cat([tokens[number] for number in order.tolist()]).half()
        return cls(config, part.normaliser, conditions, part.autoencoder, in_order, encoded.length[order])

    @classmethod
    def restore(cls, state: dict[str, Tensor], config: VAEConfig) -> "VAE":
        conditions = Conditions.from_state(state)
        autoencoder = Autoencoder.restore(submodule(state, "autoencoder."))
        normaliser = Normaliser.from_state(state)
        return cls(config, normaliser, conditions, autoencoder, state["tokens"], state["length"]).eval()

    @torch.inference_mode()
    def sample(self, label: int, embeddings: Tensor, config: VAESampleConfig, rng: torch.Generator) -> list[Tensor]:
        """Draw normalised mels `[n_mels, frames]` of the emotion; `embeddings` are not used."""
        codes = self.conditions.codes.cpu()
        own = torch.nonzero(self.conditions.of_emotion(label))[:, 0].cpu()
        start = self.length.cumsum(0) - self.length
        mels = []
        for clip in own[torch.randint(len(own), (config.count,), generator=rng)].tolist():
            others = own[codes[own, SPEAKER] != codes[clip, SPEAKER]]
            same_text = others[codes[others, TEXT] == codes[clip, TEXT]]
            partners = next(clips for clips in (same_text, others, own) if len(clips))
            partner = int(partners[torch.randint(len(partners), (1,), generator=rng)])
            one, other = (self.tokens[start[each] :][: self.length[each]].float().T[None] for each in (clip, partner))
            other = F.interpolate(other, size=one.shape[2], mode="linear")
            weight = config.nearest + (config.farthest - config.nearest) * float(torch.rand((), generator=rng))
            mixed = one + weight * (other - one)
            mel = self.autoencoder.decode(mixed.transpose(1, 2), self.config.precision)[0]
            mels.append(mel[:, : self.conditions.length[clip]].cpu())
        return mels
