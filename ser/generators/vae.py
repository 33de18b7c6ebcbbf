"""A variational autoencoder conditioned on the emotion (Sohn et al. 2015, Learning Structured Output Representation).

A sample is a mixture of a training clip and a new draw. The prior is the Gaussian of the latents of an emotion's
training clips. With `spread` s, a sample keeps sqrt(1 - s^2) of what sets a random training clip apart and draws the
rest: 0 is the clip encoded and decoded, 1 is drawn from the prior alone.
"""

import torch
from pydantic import Field
from torch import Tensor

from ser.core.device import Precision
from ser.core.optim import Log
from ser.core.params import Config
from ser.core.rng import make_rng
from ser.data.clips import Clips, Normaliser
from ser.generators import autoencoder, base
from ser.generators.autoencoder import Autoencoder, AutoencoderConfig


class VAEConfig(Config):
    frames: int = Field(gt=0)
    autoencoder: AutoencoderConfig
    precision: Precision


class VAESampleConfig(Config):
    count: int = Field(gt=0)
    spread: float = Field(ge=0, le=1)


class VAE(base.Generator):
    """An autoencoder, and one crop of every training clip as latents with its label."""

    FitConfig = VAEConfig
    SampleConfig = VAESampleConfig
    latents: Tensor  # float16 [clips, channels, height, width]
    labels: Tensor  # [clips]

    def __init__(
        self, config: VAEConfig, normaliser: Normaliser, encoder: Autoencoder, latents: Tensor, labels: Tensor
    ) -> None:
        super().__init__(config, normaliser)
        self.autoencoder = encoder
        self.register_buffer("latents", latents)
        self.register_buffer("labels", labels)

    @classmethod
    def fit(
        cls, clips: Clips, normaliser: Normaliser, embeddings: Tensor, config: VAEConfig, seed: int, log: Log
    ) -> "VAE":
        """Train an autoencoder and encode the training clips; `embeddings` are not used.

        Raises InputError where the mels do not divide into latents.
        """
        encoder = autoencoder.train(
            clips, normaliser, config.frames, config.autoencoder, config.precision, seed, "vae", log
        )
        clip_index = torch.arange(len(clips), device=clips.device)
        mels = normaliser(clips.random_crops(clip_index, config.frames, make_rng(seed)))
        latents = autoencoder.encode(encoder, mels, clips.labels, config.precision)
        return cls(config, normaliser, encoder, latents.half(), clips.labels)

    @classmethod
    def restore(cls, state: dict[str, Tensor], config: VAEConfig) -> "VAE":
        normaliser = Normaliser.from_state(state)
        encoder = autoencoder.restore(state, config.autoencoder)
        generator = cls(config, normaliser, encoder, state["latents"], state["labels"])
        generator.load_state_dict(state)
        return generator.eval()

    @torch.no_grad()
    def sample(self, label: int, embeddings: Tensor, config: VAESampleConfig, rng: torch.Generator) -> Tensor:
        """Draw normalised mels `[count, 1, n_mels, frames]` of the emotion; `embeddings` are not used."""
        latents = self.latents.float()
        own = latents[self.labels == label]
        clips = own[torch.randint(len(own), (config.count,), generator=rng).to(self.device)]
        wanted = torch.full((config.count,), label, device=self.device)
        new = autoencoder.sample_prior(latents, self.labels, wanted, rng)
        centre = own.mean(0)
        kept = (1 - config.spread**2) ** 0.5
        mixed = centre + kept * (clips - centre) + config.spread * (new - centre)
        return autoencoder.decode_sample(self.autoencoder, mixed, label, self.config.precision, rng)
