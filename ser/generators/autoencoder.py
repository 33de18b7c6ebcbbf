"""A variational autoencoder of mel spectrograms (Kingma & Welling 2014, arXiv 1312.6114), from and to small images.

A mel has an image of latents a patch and a few halvings smaller (as the KL autoencoder of Rombach et al. 2022, arXiv
2112.10752). The decoder gives each cell a mean and a deviation, learnt by the beta-NLL with beta 1 (Seitzer et al.
2022, arXiv 2203.09168), so that means are as sharp as those of squared errors. To draw from both keeps the texture of
speech; without it a classifier that learnt from real mels recognises little.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ser.core.device import autocast
from ser.core.errors import InputError
from ser.core.optim import LOG_POINTS, log_means, warmup_cosine
from ser.core.params import Section
from ser.core.rng import make_rng
from ser.core.stage import progress


class Autoencoding(Section):
    patch: int = Field(gt=0)
    channels: list[Annotated[int, Field(gt=0, multiple_of=8)]] = Field(min_length=1)
    latents: int = Field(gt=0)
    updates: int = Field(ge=LOG_POINTS)
    batch: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    ema: float = Field(ge=0, lt=1)
    kl: float = Field(ge=0)

    @property
    def factor(self):
        """Side of the square of mel cells that a position of the latents stands for."""
        return self.patch * 2 ** (len(self.channels) - 1)


class Residual(nn.Module):
    """Two convolutions beside a shortcut; the identity at first."""

    def __init__(self, channels):
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)

    def forward(self, images):
        return images + self.layers(images)


class Autoencoder(nn.Module):
    """Both halves are told the emotion."""

    def __init__(self, settings, emotions):
        super().__init__()
        self.patch, self.emotions = settings.patch, emotions
        first, last = settings.channels[0], settings.channels[-1]
        pairs = list(zip(settings.channels, settings.channels[1:]))
        self.encoder = nn.Sequential(
            Residual(first),
            *(
                layer
                for fine, coarse in pairs
                for layer in (nn.Conv2d(fine, coarse, 3, stride=2, padding=1), Residual(coarse))
            ),
            Residual(last),
        )
        self.decoder = nn.Sequential(
            Residual(last),
            *(
                layer
                for fine, coarse in reversed(pairs)
                for layer in (
                    Residual(coarse),
                    nn.Upsample(scale_factor=2),
                    nn.Conv2d(coarse, fine, 3, padding=1),
                    Residual(fine),
                )
            ),
            Residual(first),
            nn.GroupNorm(8, first),
            nn.SiLU(),
        )
        self.cells_in = nn.Conv2d(settings.patch**2, first, 3, padding=1)
        self.cells_out = nn.Conv2d(first, 2 * settings.patch**2, 3, padding=1)
        self.latents_out = nn.Conv2d(last, 2 * settings.latents, 3, padding=1)
        self.latents_in = nn.Conv2d(settings.latents, last, 3, padding=1)
        self.emotion_in = nn.Embedding(emotions, first)
        self.emotion_out = nn.Embedding(emotions, last)

    def encode(self, mels, emotion):
        """Mean and log variance of the latents, each `[batch, latents, height, width]`, of normalised mels
        `[batch, 1, n_mels, frames]` of the emotions with these numbers [batch]."""
        cells = F.pixel_unshuffle(mels, self.patch).contiguous(memory_format=torch.channels_last)
        images = self.cells_in(cells) + self.emotion_in(emotion)[:, :, None, None]
        mean, log_variance = self.latents_out(self.encoder(images)).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-8, 4)

    def decode(self, latents, emotion):
        """Mean and log deviation of every cell of the mels, each `[batch, 1, n_mels, frames]`."""
        images = self.latents_in(latents) + self.emotion_out(emotion)[:, :, None, None]
        mean, log_deviation = self.cells_out(self.decoder(images)).float().chunk(2, dim=1)
        return F.pixel_shuffle(mean, self.patch), F.pixel_shuffle(log_deviation, self.patch).clamp(-5, 2)


def build(settings, emotions):
    return Autoencoder(settings, emotions).to(memory_format=torch.channels_last)


def emotions(state, prefix=""):
    """How many emotions the Autoencoder knows whose weights are in `state`."""
    return len(state[f"{prefix}emotion_in.weight"])


def load(state, settings, device):
    """The Autoencoder whose weights are `state`."""
    model = build(settings, emotions(state)).to(device)
    model.load_state_dict(state)
    return model.eval()


def train(
    clips,  # Clips of the training part
    normalise,  # their statistics
    frames,  # length of a mel
    settings,  # Autoencoding
    precision,
    seed,
    name,  # of the generator, for messages
    log,  # called with {"loss": ..., "error": mean squared, "divergence": in nats} some 50 times
):
    """Train an Autoencoder and return it with its averaged weights.

    Raises InputError where the mels do not divide into latents.
    """
    for key, size in {f"generators.{name}.fit.frames": frames, "mels.n_mels": len(normalise.mean)}.items():
        if size % settings.factor:
            raise InputError(
                f"params.yaml: key `{key}` is {size}; the autoencoder needs a multiple of {settings.factor} (`patch`, "
                "doubled at each of its `channels` after the first)"
            )
    device = clips.start.device
    generator = make_rng(seed)
    torch.manual_seed(seed)
    model = build(settings, int(clips.emotion.max()) + 1).to(device)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.ema))
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate, fused=True)
    rate = warmup_cosine(optimiser, settings.updates)
    record = log_means(log, settings.updates)
    for _ in progress(range(settings.updates), "autoencoder", "update"):
        which = torch.randint(len(clips), (settings.batch,), generator=generator).to(device)
        mels, emotion = normalise(clips.random_crops(which, frames, generator)), clips.emotion[which]
        with autocast(device, precision):
            mean, log_variance = model.encode(mels, emotion)
            noise = torch.randn(mean.shape, generator=generator).to(device)
            decoded, log_deviation = model.decode(mean + (log_variance / 2).exp() * noise, emotion)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum((1, 2, 3)).mean()
        error = (mels - decoded) / log_deviation.exp()
        likelihood = (2 * log_deviation).exp().detach() * (log_deviation + 0.5 * error.square())
        loss = likelihood.mean() + settings.kl * divergence / mels[0].numel()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
        average.update_parameters(model)
        record({"loss": loss, "error": (mels - decoded).square().mean(), "divergence": divergence})
    return average.module.eval()


@torch.no_grad()
def encode(model, mels, emotion, precision, batch=128):
    """The means of the latents `[clips, latents, height, width]` of normalised mels."""
    parts = zip(mels.split(batch), emotion.split(batch))
    with autocast(mels.device, precision):
        return torch.cat([model.encode(*part)[0] for part in parts])


@torch.no_grad()
def draw(model, latents, emotion, precision, generator, batch=128):
    """Normalised mels `[clips, 1, n_mels, frames]` on the CPU: what latents mean for an emotion's number, drawn."""
    drawn = []
    for part in latents.split(batch):
        with autocast(latents.device, precision):
            mean, log_deviation = model.decode(part, torch.full((len(part),), emotion, device=part.device))
        noise = torch.randn(mean.shape, generator=generator)
        drawn.append(mean.cpu() + log_deviation.exp().cpu() * noise)
    return torch.cat(drawn)


def prior(latents, emotion, wanted, generator):
    """Draw latents `[n, ...]` for the emotions with numbers `wanted` [n], each from the Gaussian with the mean and the
    covariance of those training clips' `latents` [clips, ...] that have its emotion, `emotion` [clips] (ex-post density
    estimation, Ghosh et al. 2020, arXiv 1903.12436)."""
    same = (emotion == wanted[:, None]).float()
    counts, flat = same.sum(1, keepdim=True), latents.flatten(1)
    centre = same / counts @ flat
    weights = same * torch.randn(same.shape, generator=generator).to(same.device) / counts.sqrt()
    drawn = centre + weights @ flat - weights.sum(1, keepdim=True) * centre
    return drawn.unflatten(1, latents.shape[1:])
