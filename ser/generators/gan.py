"""A generative adversarial network in the latent space of an autoencoder, conditioned on the emotion.

Its generator network is called refiner: it starts from draws of the Gaussian of an emotion's latents, so that it begins
with their variety; starting from white noise collapsed to one mode. Hinge loss (Lim & Ye 2017, arXiv 1705.02894),
spectral normalisation (Miyato et al. 2018, arXiv 1802.05957), a projection discriminator (Miyato & Koyama 2018, arXiv
1802.05637) that sees the deviation over the batch (Karras et al. 2018, arXiv 1710.10196), differentiable augmentation
(Zhao et al. 2020, arXiv 2006.10738), and a moving average of the refiner.
"""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ser.core.device import Precision, autocast
from ser.core.optim import LOG_POINTS, Log, MeanLog, ignore
from ser.core.params import Config
from ser.core.rng import make_rng
from ser.core.stage import progress
from ser.data.clips import Normaliser
from ser.generators import base
from ser.generators import image_autoencoder as autoencoder
from ser.generators.base import TrainingPart
from ser.generators.image_autoencoder import Autoencoder, AutoencoderConfig

CROPS = 6  # of every clip


class GANConfig(Config):
    frames: int = Field(gt=0)
    channels: Annotated[int, Field(gt=0, multiple_of=8)]
    updates: int = Field(ge=LOG_POINTS)
    batch: int = Field(gt=1)
    generator_rate: float = Field(gt=0)
    discriminator_rate: float = Field(gt=0)
    ema: float = Field(ge=0, lt=1)
    precision: Precision
    autoencoder: AutoencoderConfig


class GANSampleConfig(Config):
    count: int = Field(gt=0)


class Modulated(nn.Module):
    """Two convolutions and a shortcut, each after a normalisation whose scale and offset follow the emotion."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(8, channels, affine=False) for _ in range(2))
        self.scales = nn.ModuleList(nn.Linear(channels, 2 * channels) for _ in range(2))
        self.layers = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, images: Tensor, label: Tensor) -> Tensor:
        residual = images
        for norm, scales, layer in zip(self.norms, self.scales, self.layers):
            scale, offset = scales(label)[:, :, None, None].chunk(2, dim=1)
            residual = layer(F.silu(norm(residual) * (1 + scale) + offset))
        return images + residual


class Refiner(nn.Module):
    def __init__(self, latents: int, channels: int, n_classes: int) -> None:
        super().__init__()
        self.label = nn.Embedding(n_classes, channels)
        self.first = nn.Conv2d(2 * latents, channels, 3, padding=1)
        self.blocks = nn.ModuleList(Modulated(channels) for _ in range(3))
        self.last = nn.Sequential(nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, latents, 3, padding=1))
        last: Any = self.last[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, draws: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        """Latents `[batch, latents, height, width]` from `draws` of the prior and white `noise` of that shape."""
        images = self.first(torch.cat([draws, noise], dim=1).contiguous(memory_format=torch.channels_last))
        embedded = self.label(labels)
        for block in self.blocks:
            images = block(images, embedded)
        return draws + self.last(images).float()


class Discriminator(nn.Module):
    def __init__(self, latents: int, channels: int, n_classes: int) -> None:
        super().__init__()
        self.first = _normalised(latents, channels)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LeakyReLU(0.2), _normalised(channels, channels), nn.LeakyReLU(0.2), _normalised(channels, channels)
            )
            for _ in range(2)
        )
        self.last = _normalised(channels + 1, channels)
        self.score = spectral_norm(nn.Linear(channels, 1))
        self.label = spectral_norm(nn.Embedding(n_classes, channels))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """How real latents `[batch, latents, height, width]` of these classes [batch] look, `[batch]`."""
        fine, coarse = self.blocks
        images = self.first(images.contiguous(memory_format=torch.channels_last))
        images = images + fine(images)
        images = F.avg_pool2d(images + coarse(images), 2, ceil_mode=True)
        spread = images.float().var(0, unbiased=False).add(1e-6).sqrt().mean()
        images = torch.cat([images, spread.expand(len(images), 1, *images.shape[2:]).to(images.dtype)], dim=1)
        features = F.leaky_relu(self.last(F.leaky_relu(images, 0.2)), 0.2).sum((2, 3))
        return (self.score(features)[:, 0] + (self.label(labels) * features).sum(1)).float()


def _normalised(channels_in: int, channels_out: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(channels_in, channels_out, 3, padding=1))


def augment(latents: Tensor, rng: torch.Generator) -> Tensor:
    """Move images `[batch, latents, height, width]` by up to an eighth of their width, and hide a part of each."""
    batch, _, height, width = latents.shape
    reach = max(1, width // 8)
    row, column = torch.arange(height), torch.arange(width)
    time = column + torch.randint(-reach, reach + 1, (batch, 1), generator=rng)
    time = time.clamp(0, width - 1)[:, None, None, :].expand(latents.shape).to(latents.device)
    top = torch.randint(height, (batch, 1), generator=rng)
    left = torch.randint(width, (batch, 1), generator=rng)
    high, wide = (row - top).abs() <= height // 5, (column - left).abs() <= width // 8
    hidden = (high[:, :, None] & wide[:, None, :])[:, None].to(latents.device)
    return latents.gather(3, time).masked_fill(hidden, 0.0)


class GAN(base.Generator):
    """An autoencoder, a refiner of draws from the prior of its latents, and what the prior is made from."""

    FitConfig = GANConfig
    SampleConfig = GANSampleConfig
    latents: Tensor  # float16 [clips, channels, height, width], normalised, one crop of every training clip
    labels: Tensor  # [clips]
    latent_mean: Tensor  # [1, channels, 1, 1]
    latent_std: Tensor

    def __init__(
        self,
        config: GANConfig,
        normaliser: Normaliser,
        encoder: Autoencoder,
        latents: Tensor,
        labels: Tensor,
        latent_mean: Tensor,
        latent_std: Tensor,
    ) -> None:
        super().__init__(config, normaliser)
        self.autoencoder = encoder
        self.register_buffer("latents", latents)
        self.register_buffer("labels", labels)
        self.register_buffer("latent_mean", latent_mean)
        self.register_buffer("latent_std", latent_std)
        self.refiner = Refiner(config.autoencoder.latents, config.channels, encoder.n_classes)
        self.refiner.to(memory_format=torch.channels_last)

    @classmethod
    def fit(cls, part: TrainingPart, config: GANConfig, seed: int, log: Log) -> "GAN":
        """Train an autoencoder, then refiner and discriminator, and keep the moving average of the refiner.

        `log` takes the losses of the discriminator, `loss`, and of the refiner, `generator`.
        Raises InputError where the mels do not divide into latents.
        """
        clips, normaliser = part.clips, part.normaliser
        device, precision = clips.device, config.precision
        encoder = autoencoder.train(
            clips, normaliser, config.frames, config.autoencoder, precision, seed, "gan", ignore
        )
        rng = make_rng(seed)
        clip_index = torch.arange(len(clips), device=device).repeat(CROPS)
        labels = clips.labels[clip_index]
        mels = normaliser(clips.random_crops(clip_index, config.frames, rng))
        latents = autoencoder.encode(encoder, mels, labels, precision)
        mean, std = latents.mean((0, 2, 3), keepdim=True), latents.std((0, 2, 3), keepdim=True)
        latents = (latents - mean) / std
        one_crop = latents[: len(clips)]

        torch.manual_seed(seed)
        generator = cls(config, normaliser, encoder, one_crop.half(), clips.labels, mean, std).to(device)
        refiner = generator.refiner
        discriminator = Discriminator(config.autoencoder.latents, config.channels, encoder.n_classes)
        discriminator.to(device).to(memory_format=torch.channels_last)
        average = AveragedModel(refiner, multi_avg_fn=get_ema_multi_avg_fn(config.ema))
        refiner_optimiser = torch.optim.Adam(refiner.parameters(), config.generator_rate, (0.0, 0.99), fused=True)
        discriminator_optimiser = torch.optim.Adam(
            discriminator.parameters(), config.discriminator_rate, (0.0, 0.99), fused=True
        )
        mean_log = MeanLog(log, config.updates)

        def random_batch() -> Tensor:
            return torch.randint(len(latents), (config.batch,), generator=rng).to(device)

        def fake(wanted: Tensor) -> Tensor:
            draws = autoencoder.sample_prior(one_crop, clips.labels, wanted, rng)
            return refiner(draws, torch.randn(draws.shape, generator=rng).to(device), wanted)

        for _ in progress(range(config.updates), "GAN", "update"):
            batch = random_batch()
            with autocast(device, precision):
                with torch.no_grad():
                    fakes = fake(labels[batch])
                real_score = discriminator(augment(latents[batch], rng), labels[batch])
                fake_score = discriminator(augment(fakes, rng), labels[batch])
            loss = (F.relu(1 - real_score) + F.relu(1 + fake_score)).mean()
            discriminator_optimiser.zero_grad()
            loss.backward()
            discriminator_optimiser.step()
            wanted = labels[random_batch()]
            with autocast(device, precision):
                refiner_loss = -discriminator(augment(fake(wanted), rng), wanted).mean()
            refiner_optimiser.zero_grad()
            refiner_loss.backward()
            refiner_optimiser.step()
            average.update_parameters(refiner)
            mean_log.add({"loss": loss, "generator": refiner_loss})
        refiner.load_state_dict(average.module.state_dict())
        return generator

    @classmethod
    def restore(cls, state: dict[str, Tensor], config: GANConfig) -> "GAN":
        normaliser = Normaliser.from_state(state)
        encoder = autoencoder.restore(state, config.autoencoder)
        buffers = (state[name] for name in ("latents", "labels", "latent_mean", "latent_std"))
        generator = cls(config, normaliser, encoder, *buffers)
        generator.load_state_dict(state)
        return generator.eval()

    @torch.inference_mode()
    def sample(self, label: int, embeddings: Tensor, config: GANSampleConfig, rng: torch.Generator) -> list[Tensor]:
        """Draw normalised mels `[n_mels, frames]` of the emotion; `embeddings` are not used."""
        precision = self.config.precision
        wanted = torch.full((config.count,), label, device=self.device)
        draws = autoencoder.sample_prior(self.latents.float(), self.labels, wanted, rng)
        with autocast(self.device, precision):
            refined = self.refiner(draws, torch.randn(draws.shape, generator=rng).to(self.device), wanted)
        latents = refined * self.latent_std + self.latent_mean
        return list(autoencoder.decode_sample(self.autoencoder, latents, label, precision, rng)[:, 0])
