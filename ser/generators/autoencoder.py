"""A variational autoencoder over time (Kingma & Welling 2014, arXiv 1312.6114): mels to short sequences and back.

The mel bands are the channels of convolutions along time (not an image, in which a pattern means the same at every
height), so that four frames become one token of a few dozen numbers. Its weight of the divergence from the prior is
small, as in latent diffusion (Rombach et al. 2022, arXiv 2112.10752): latents are to be smooth, not Gaussian. It is
fitted once per fold and shared by the generators that work on its tokens.
"""

from collections.abc import Sequence
from typing import Annotated, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from ser.core.device import Precision, autocast
from ser.core.optim import Descent, DescentConfig, Log
from ser.core.rng import make_rng
from ser.core.stage import progress
from ser.data.clips import Clips, Normaliser
from ser.training.augmentation import AugmentationConfig, augment

PATH = "models/autoencoder"


class AutoencoderConfig(DescentConfig):
    frames: int = Field(gt=0, multiple_of=4)
    channels: list[Annotated[int, Field(gt=0, multiple_of=8)]] = Field(min_length=3, max_length=3)
    latents: int = Field(gt=0)
    stretch: float = Field(ge=0, lt=1)
    kl: float = Field(ge=0)


class Residual(nn.Module):
    """Two convolutions and a shortcut; the identity at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.Conv1d(channels, channels, 3, padding=1)
        nn.init.zeros_(last.weight)
        self.layers = nn.Sequential(
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv1d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            last,
        )

    def forward(self, cells: Tensor) -> Tensor:
        return cells + self.layers(cells)


class Autoencoder(nn.Module):
    """Encoder and decoder, between mel bands as channels and `latents` at a quarter of the frames."""

    def __init__(self, channels: Sequence[int], latents: int, normaliser: Normaliser) -> None:
        super().__init__()
        self.normaliser = normaliser
        self.latents = latents
        fine, middle, coarse = channels
        self.encoder = nn.Sequential(
            nn.Conv1d(normaliser.n_mels, fine, 5, padding=2),
            Residual(fine),
            nn.Conv1d(fine, middle, 4, stride=2, padding=1),
            Residual(middle),
            Residual(middle),
            nn.Conv1d(middle, coarse, 4, stride=2, padding=1),
            Residual(coarse),
            Residual(coarse),
            nn.Conv1d(coarse, 2 * latents, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv1d(latents, coarse, 1),
            Residual(coarse),
            Residual(coarse),
            nn.ConvTranspose1d(coarse, middle, 4, stride=2, padding=1),
            Residual(middle),
            Residual(middle),
            nn.ConvTranspose1d(middle, fine, 4, stride=2, padding=1),
            Residual(fine),
            Residual(fine),
            nn.GroupNorm(8, fine),
            nn.SiLU(),
            nn.Conv1d(fine, normaliser.n_mels, 5, padding=2),
        )

    def distribution(self, mels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latents, `[batch, latents, frames / 4]` each, of `[batch, n_mels, frames]`."""
        mean, log_variance = self.encoder(mels).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 4)

    @torch.no_grad()
    def encode(self, mels: Tensor, precision: Precision) -> Tensor:
        """Normalised mels `[batch, n_mels, frames]` as tokens `[batch, frames / 4, latents]`."""
        with autocast(mels.device, precision):
            return self.distribution(mels)[0].transpose(1, 2)

    @torch.no_grad()
    def decode(self, tokens: Tensor, precision: Precision) -> Tensor:
        """Tokens `[batch, tokens, latents]` as normalised mels `[batch, n_mels, 4 * tokens]`."""
        with autocast(tokens.device, precision):
            return self.decoder(tokens.transpose(1, 2)).float()

    @classmethod
    def restore(cls, state: dict[str, Tensor]) -> "Autoencoder":
        """An autoencoder from its state."""
        channels = [len(state[f"encoder.{layer}.bias"]) for layer in (0, 2, 5)]
        model = cls(channels, state["decoder.0.weight"].shape[1], Normaliser.from_state(state))
        model.load_state_dict(state)
        return model.eval()


def fit(clips: Clips, config: AutoencoderConfig, seed: int, log: Log) -> Autoencoder:
    """An autoencoder of random crops of the clips, stretched along time and frequency; its moving average is kept.

    `log` takes `loss`, the mean squared error `error` in variances of a mel band, and `divergence` per latent.
    """
    torch.manual_seed(seed)
    rng, device = make_rng(seed), clips.device
    model = Autoencoder(config.channels, config.latents, clips.normaliser()).to(device)
    descent = Descent(model, config, log)
    stretch = AugmentationConfig(vtlp=config.stretch, time_stretch=config.stretch)
    for _ in progress(range(config.updates), "autoencoder", "update"):
        clip_index = torch.randint(len(clips), (config.batch,), generator=rng).to(device)
        mels = model.normaliser(clips.random_crops(clip_index, stretch.source_frames(config.frames), rng))
        mels = augment(mels, config.frames, stretch, rng)[:, 0]
        with autocast(device, config.precision):
            mean, log_variance = model.distribution(mels)
            noise = torch.randn(mean.shape, generator=rng).to(device)
            decoded = model.decoder(mean + (log_variance / 2).exp() * noise).float()
        difference = mels - decoded
        error = difference.square().mean()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        loss = difference.abs().mean() + error + config.kl * divergence
        descent.step(loss, error=error, divergence=divergence)
    return cast(Autoencoder, descent.averaged().eval())
