"""A generative adversarial network in the latent space of an autoencoder, conditioned on the emotion.

The generator refines draws from the Gaussian of an emotion's latents, so that it starts with their variety; one that
started from white noise fell into a single mode here. Hinge loss (Lim & Ye 2017, arXiv 1705.02894), spectral
normalisation (Miyato et al. 2018, arXiv 1802.05957), a projection discriminator (Miyato & Koyama 2018, arXiv
1802.05637) that sees the deviation over the batch (Karras et al. 2018, arXiv 1710.10196), differentiable augmentation
(Zhao et al. 2020, arXiv 2006.10738), and a moving average of the generator.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ser.core.device import Precision, autocast
from ser.core.optim import LOG_POINTS, log_means
from ser.core.params import Section
from ser.core.rng import make_rng
from ser.core.stage import progress
from ser.generators import autoencoder

CROPS = 6  # of every clip


class Fit(Section):
    frames: int = Field(gt=0)
    channels: Annotated[int, Field(gt=0, multiple_of=8)]
    updates: int = Field(ge=LOG_POINTS)
    batch: int = Field(gt=1)
    generator_rate: float = Field(gt=0)
    discriminator_rate: float = Field(gt=0)
    ema: float = Field(ge=0, lt=1)
    precision: Precision
    autoencoder: autoencoder.Autoencoding


class Sample(Section):
    count: int = Field(gt=0)


class Modulated(nn.Module):
    """Two convolutions beside a shortcut, each after a normalisation whose scale and offset follow the emotion."""

    def __init__(self, channels):
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(8, channels, affine=False) for _ in range(2))
        self.scales = nn.ModuleList(nn.Linear(channels, 2 * channels) for _ in range(2))
        self.layers = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, images, emotion):
        residual = images
        for norm, scales, layer in zip(self.norms, self.scales, self.layers):
            scale, offset = scales(emotion)[:, :, None, None].chunk(2, dim=1)
            residual = layer(F.silu(norm(residual) * (1 + scale) + offset))
        return images + residual


class Generator(nn.Module):
    def __init__(self, latents, channels, emotions):
        super().__init__()
        self.emotion = nn.Embedding(emotions, channels)
        self.first = nn.Conv2d(2 * latents, channels, 3, padding=1)
        self.blocks = nn.ModuleList(Modulated(channels) for _ in range(3))
        self.last = nn.Sequential(nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, latents, 3, padding=1))
        nn.init.zeros_(self.last[-1].weight)
        nn.init.zeros_(self.last[-1].bias)

    def forward(self, draws, noise, emotion):
        """Latents `[batch, latents, height, width]` made of `draws` from the prior and white `noise` of that shape."""
        images = self.first(torch.cat([draws, noise], dim=1).contiguous(memory_format=torch.channels_last))
        embedded = self.emotion(emotion)
        for block in self.blocks:
            images = block(images, embedded)
        return draws + self.last(images).float()


class Discriminator(nn.Module):
    def __init__(self, latents, channels, emotions):
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
        self.emotion = spectral_norm(nn.Embedding(emotions, channels))

    def forward(self, images, emotion):
        """How real latents `[batch, latents, height, width]` of these emotions look, `[batch]`."""
        fine, coarse = self.blocks
        images = self.first(images.contiguous(memory_format=torch.channels_last))
        images = images + fine(images)
        images = F.avg_pool2d(images + coarse(images), 2, ceil_mode=True)
        spread = images.float().var(0, unbiased=False).add(1e-6).sqrt().mean()
        images = torch.cat([images, spread.expand(len(images), 1, *images.shape[2:]).to(images.dtype)], dim=1)
        features = F.leaky_relu(self.last(F.leaky_relu(images, 0.2)), 0.2).sum((2, 3))
        return (self.score(features)[:, 0] + (self.emotion(emotion) * features).sum(1)).float()


def _normalised(channels_in, channels_out):
    return spectral_norm(nn.Conv2d(channels_in, channels_out, 3, padding=1))


def augment(latents, generator):
    """Move images `[batch, latents, height, width]` by up to an eighth of their width, and hide a part of each."""
    batch, _, height, width = latents.shape
    reach = max(1, width // 8)
    row, column = torch.arange(height), torch.arange(width)
    time = column + torch.randint(-reach, reach + 1, (batch, 1), generator=generator)
    time = time.clamp(0, width - 1)[:, None, None, :].expand(latents.shape).to(latents.device)
    top = torch.randint(height, (batch, 1), generator=generator)
    left = torch.randint(width, (batch, 1), generator=generator)
    high, wide = (row - top).abs() <= height // 5, (column - left).abs() <= width // 8
    hidden = (high[:, :, None] & wide[:, None, :])[:, None].to(latents.device)
    return latents.gather(3, time).masked_fill(hidden, 0.0)


def fit(
    clips,  # Clips of the training part
    normalise,  # their statistics
    conditions,  # [clips, width], the embedding of each clip; this generator is told its emotion instead
    settings,  # Fit
    seed,
    log,  # called with {"loss": of the discriminator, "generator": ...} some 50 times
):
    """Train an autoencoder, then generator and discriminator; return the state of the averaged generator with the
    autoencoder, and a crop of every clip as latents.

    Raises InputError where the mels do not divide into latents.
    """
    device = clips.start.device
    encoder = autoencoder.train(
        clips,
        normalise,
        settings.frames,
        settings.autoencoder,
        settings.precision,
        seed,
        "gan",
        log=lambda figures: None,
    )
    draws = make_rng(seed)
    which = torch.arange(len(clips), device=device).repeat(CROPS)
    emotion = clips.emotion[which]
    mels = normalise(clips.random_crops(which, settings.frames, draws))
    latents = autoencoder.encode(encoder, mels, emotion, settings.precision)
    centre, scale = latents.mean((0, 2, 3), keepdim=True), latents.std((0, 2, 3), keepdim=True)
    latents = (latents - centre) / scale
    known = latents[: len(clips)], clips.emotion

    torch.manual_seed(seed)
    shape = settings.autoencoder.latents, settings.channels, encoder.emotions
    generator = Generator(*shape).to(device, memory_format=torch.channels_last)
    discriminator = Discriminator(*shape).to(device, memory_format=torch.channels_last)
    average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(settings.ema))
    generator_optimiser = torch.optim.Adam(generator.parameters(), settings.generator_rate, (0.0, 0.99), fused=True)
    discriminator_optimiser = torch.optim.Adam(
        discriminator.parameters(), settings.discriminator_rate, (0.0, 0.99), fused=True
    )
    record = log_means(log, settings.updates)

    def some():
        return torch.randint(len(latents), (settings.batch,), generator=draws).to(device)

    def fake(emotion):
        start = autoencoder.prior(*known, emotion, draws)
        return generator(start, torch.randn(start.shape, generator=draws).to(device), emotion)

    for _ in progress(range(settings.updates), "GAN", "update"):
        real = some()
        with autocast(device, settings.precision):
            with torch.no_grad():
                made = fake(emotion[real])
            high = discriminator(augment(latents[real], draws), emotion[real])
            low = discriminator(augment(made, draws), emotion[real])
        loss = (F.relu(1 - high) + F.relu(1 + low)).mean()
        discriminator_optimiser.zero_grad()
        loss.backward()
        discriminator_optimiser.step()
        wanted = emotion[some()]
        with autocast(device, settings.precision):
            fooled = -discriminator(augment(fake(wanted), draws), wanted).mean()
        generator_optimiser.zero_grad()
        fooled.backward()
        generator_optimiser.step()
        average.update_parameters(generator)
        record({"loss": loss, "generator": fooled})
    return {
        **{f"autoencoder.{name}": tensor for name, tensor in encoder.state_dict().items()},
        **{f"generator.{name}": tensor for name, tensor in average.module.state_dict().items()},
        "latents": known[0].half(),
        "emotion": clips.emotion,
        "centre": centre,
        "scale": scale,
    }


@torch.inference_mode()
def sample(
    state,  # what `fit` returned
    n_mels,
    emotion,  # number of the emotion
    embeddings,  # [clips, width], of the emotion's training clips, not heeded
    fitted,  # Fit
    settings,  # Sample
    generator,  # CPU torch.Generator
    device,
):
    """Draw normalised mels `[count, 1, n_mels, frames]` of an emotion."""
    encoder = autoencoder.load(_part(state, "autoencoder."), fitted.autoencoder, device)
    model = Generator(fitted.autoencoder.latents, fitted.channels, encoder.emotions)
    model.load_state_dict(_part(state, "generator."))
    model.to(device, memory_format=torch.channels_last).eval()
    wanted = torch.full((settings.count,), emotion, device=device)
    start = autoencoder.prior(state["latents"].float().to(device), state["emotion"].to(device), wanted, generator)
    with autocast(device, fitted.precision):
        made = model(start, torch.randn(start.shape, generator=generator).to(device), wanted)
    latents = made * state["scale"].to(device) + state["centre"].to(device)
    return autoencoder.draw(encoder, latents, emotion, fitted.precision, generator)


def _part(state, prefix):
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
