"""A variational autoencoder over time (Kingma & Welling 2014, arXiv 1312.6114): mels to short sequences and back.

Four frames with all their bands, a patch, become one token. It begins as the principal components of patches, the best
linear code, and learns what a network can add that sees the neighbouring tokens. (Convolutions that had to find a code
by themselves were three times worse after 1,000 updates: docs/choices.md.) Its weight of the divergence from the prior
is small, as in latent diffusion (Rombach et al. 2022, arXiv 2112.10752): latents are to be smooth, not Gaussian. It is
fitted once per fold and shared by the generators that work on its tokens.
"""

from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn

from ser.core.device import Precision, autocast
from ser.core.optim import Descent, DescentConfig, Log
from ser.core.rng import make_rng
from ser.core.stage import progress
from ser.data.clips import Clips, Normaliser
from ser.generators.sequences import FRAMES, from_patches, patches
from ser.training.augmentation import AugmentationConfig, augment

PATH = "models/autoencoder"
LOG_VARIANCE = -6.0  # of the latents, at first; they have a mean variance of 1


class AutoencoderConfig(DescentConfig):
    frames: int = Field(gt=0, multiple_of=FRAMES)
    channels: int = Field(gt=0)
    latents: int = Field(gt=0)
    stretch: float = Field(ge=0, lt=1)
    kl: float = Field(ge=0)


class Residual(nn.Module):
    """Two convolutions along tokens `[batch, tokens, channels]` and a shortcut; the identity at first.

    Each token is normalised by itself, so that nothing depends on how far a batch is padded.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, last = (nn.Conv1d(channels, channels, 3, padding=1) for _ in range(2))
        nn.init.zeros_(last.weight)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.layers = nn.ModuleList([first, last])

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = tokens
        for norm, layer in zip(self.norms, self.layers):
            hidden = layer(nn.functional.silu(norm(hidden)).transpose(1, 2)).transpose(1, 2)
        return tokens + hidden


def _network(inputs: int, channels: int, outputs: int, blocks: int) -> nn.Sequential:
    """From `inputs` to `outputs` numbers per token; zero at first."""
    last = nn.Linear(channels, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(inputs, channels), *(Residual(channels) for _ in range(blocks)), nn.LayerNorm(channels), last
    )


class Autoencoder(nn.Module):
    """Encoder and decoder between patches and tokens: each the sum of a linear map and a network."""

    def __init__(self, channels: int, latents: int, normaliser: Normaliser) -> None:
        super().__init__()
        self.normaliser = normaliser
        self.latents = latents
        patch = FRAMES * normaliser.n_mels
        self.components_in, self.components_out = nn.Linear(patch, latents), nn.Linear(latents, patch)
        self.encoder = _network(patch, channels, 2 * latents, blocks=2)
        self.decoder = _network(latents, channels, patch, blocks=4)

    def distribution(self, mels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the tokens of mels, `[batch, frames / FRAMES, latents]` each."""
        cells = patches(mels)
        change, log_variance = self.encoder(cells).float().chunk(2, dim=2)
        return self.components_in(cells).float() + change, (LOG_VARIANCE + log_variance).clamp(-12, 4)

    def mels(self, tokens: Tensor) -> Tensor:
        """Normalised mels `[batch, n_mels, frames]` of tokens."""
        return from_patches(self.components_out(tokens).float() + self.decoder(tokens).float())

    @torch.no_grad()
    def encode(self, mels: Tensor, precision: Precision) -> Tensor:
        """Normalised mels `[batch, n_mels, frames]` as tokens `[batch, frames / FRAMES, latents]`."""
        with autocast(mels.device, precision):
            return self.distribution(mels)[0]

    @torch.no_grad()
    def decode(self, tokens: Tensor, precision: Precision) -> Tensor:
        """Tokens `[batch, tokens, latents]` as normalised mels `[batch, n_mels, FRAMES * tokens]`."""
        with autocast(tokens.device, precision):
            return self.mels(tokens)

    @torch.no_grad()
    def begin(self, cells: Tensor) -> None:
        """Set the linear maps to the principal components of patches `[patches, patch]`, scaled to a variance of 1."""
        mean = cells.mean(0)
        covariance = (cells - mean).T @ (cells - mean) / len(cells)
        variance, vectors = torch.linalg.eigh(covariance.double())
        components = vectors[:, -self.latents :].flip(1).to(cells)  # [patch, latents], from the largest variance
        scale = variance[-self.latents :].mean().sqrt().to(cells)
        self.components_in.weight[:] = components.T / scale
        self.components_in.bias[:] = -self.components_in.weight @ mean
        self.components_out.weight[:] = components * scale
        self.components_out.bias[:] = mean

    @classmethod
    def restore(cls, state: dict[str, Tensor]) -> "Autoencoder":
        """An autoencoder from its state."""
        latents, channels = len(state["components_in.bias"]), len(state["encoder.0.bias"])
        model = cls(channels, latents, Normaliser.from_state(state))
        model.load_state_dict(state)
        return model.eval()


def fit(clips: Clips, config: AutoencoderConfig, seed: int, log: Log) -> Autoencoder:
    """An autoencoder of random crops of the clips, stretched along time and frequency; its moving average is kept.

    `log` takes `loss`, the mean squared error `error` in variances of a mel band, and `divergence` per latent.
    """
    torch.manual_seed(seed)
    rng, device = make_rng(seed), clips.device
    model = Autoencoder(config.channels, config.latents, clips.normaliser()).to(device)
    stretch = AugmentationConfig(vtlp=config.stretch, time_stretch=config.stretch)

    def crops(clip_index: Tensor) -> Tensor:
        mels = model.normaliser(clips.random_crops(clip_index, stretch.source_frames(config.frames), rng))
        return augment(mels, config.frames, stretch, rng)[:, 0]

    model.begin(patches(crops(torch.arange(len(clips), device=device))).flatten(0, 1))
    descent = Descent(model, config, log)
    for _ in progress(range(config.updates), "autoencoder", "update"):
        mels = crops(torch.randint(len(clips), (config.batch,), generator=rng).to(device))
        with autocast(device, config.precision):
            mean, log_variance = model.distribution(mels)
            noise = torch.randn(mean.shape, generator=rng).to(device)
            decoded = model.mels(mean + (log_variance / 2).exp() * noise)
        difference = mels - decoded
        error = difference.square().mean()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        loss = difference.abs().mean() + error + config.kl * divergence
        descent.step(loss, error=error, divergence=divergence)
    return cast(Autoencoder, descent.averaged().eval())
