"""Mixtures of two training clips, decoded by a variational autoencoder."""

import torch
from pydantic import Field
from torch import Tensor

from ser.core.checkpoints import submodule
from ser.core.device import Precision
from ser.core.optim import Log
from ser.core.params import Config
from ser.data.clips import Normaliser
from ser.generators import base
from ser.generators.autoencoder import Autoencoder
from ser.generators.base import TrainingPart
from ser.generators.mixtures import Mixtures, Shares
from ser.generators.sequences import FRAMES


class VAEConfig(Config):
    frames: int = Field(gt=0, multiple_of=FRAMES)
    precision: Precision


class VAESampleConfig(Shares):
    count: int = Field(gt=0)


class VAE(base.Generator):
    FitConfig = VAEConfig
    SampleConfig = VAESampleConfig

    def __init__(self, config: VAEConfig, normaliser: Normaliser, autoencoder: Autoencoder, mixtures: Mixtures) -> None:
        super().__init__(config, normaliser)
        self.autoencoder = autoencoder
        self.mixtures = mixtures

    @classmethod
    def fit(cls, part: TrainingPart, config: VAEConfig, seed: int, log: Log) -> "VAE":
        """Encode the training clips; the autoencoder is fitted already. `log` takes its squared error, by batch."""

        def encode(mels: Tensor) -> Tensor:
            tokens = part.autoencoder.encode(mels, config.precision)
            decoded = part.autoencoder.decode(tokens, config.precision)
            log({"loss": float((decoded - mels).square().mean())})
            return tokens

        return cls(config, part.normaliser, part.autoencoder, Mixtures.of(part, encode, config.frames))

    @classmethod
    def restore(cls, state: dict[str, Tensor], config: VAEConfig) -> "VAE":
        autoencoder = Autoencoder.restore(submodule(state, "autoencoder."))
        mixtures = Mixtures.from_state(submodule(state, "mixtures."))
        return cls(config, Normaliser.from_state(state), autoencoder, mixtures).eval()

    @torch.inference_mode()
    def sample(self, label: int, embeddings: Tensor, config: VAESampleConfig, rng: torch.Generator) -> list[Tensor]:
        """Draw normalised mels `[n_mels, frames]` of the emotion; `embeddings` are not used."""
        first = self.mixtures.first_clips(label, config.count, rng)
        mels = []
        for clip, tokens in zip(first.tolist(), self.mixtures.draw(first, config, rng), strict=True):
            mel = self.autoencoder.decode(tokens[None], self.config.precision)[0]
            mels.append(mel[:, : self.mixtures.conditions.length[clip]].cpu())
        return mels
