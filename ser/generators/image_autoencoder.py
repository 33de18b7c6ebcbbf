"""A variational autoencoder of mel spectrograms as images (Kingma & Welling 2014, arXiv 1312.6114).

Its latents are an image that is smaller than the mel by `patch` and by one halving per further level (like the KL
autoencoder of Rombach et al. 2022, arXiv 2112.10752). The decoder gives each cell a mean and a deviation, trained with
the beta-NLL with beta 1 (Seitzer et al. 2022, arXiv 2203.09168), so that means are as sharp as those of squared errors.
Sampling from mean and deviation keeps the texture of speech; decoding the mean alone gives clips that a classifier
trained on real mels rarely recognises.
"""

from typing import Annotated, Any, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ser.core.checkpoints import submodule
from ser.core.device import Precision, autocast
from ser.core.errors import InputError
from ser.core.optim import LOG_POINTS, Log, MeanLog, warmup_cosine
from ser.core.params import Config
from ser.core.rng import make_rng
from ser.core.stage import progress
from ser.data.clips import Clips, Normaliser


class AutoencoderConfig(Config):
    patch: int = Field(gt=0)
    channels: list[Annotated[int, Field(gt=0, multiple_of=8)]] = Field(min_length=1)
    latents: int = Field(gt=0)
    updates: int = Field(ge=LOG_POINTS)
    batch: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    ema: float = Field(ge=0, lt=1)
    kl: float = Field(ge=0)

    @property
    def factor(self) -> int:
        """Side of the square of mel cells that a position of the latents stands for."""
        return self.patch * 2 ** (len(self.channels) - 1)


class Residual(nn.Module):
    """Two convolutions and a shortcut; the identity at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        last: Any = self.layers[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, images: Tensor) -> Tensor:
        return images + self.layers(images)


class Autoencoder(nn.Module):
    """Encoder and decoder, both conditioned on the class."""

    def __init__(self, config: AutoencoderConfig, n_classes: int) -> None:
        super().__init__()
        self.patch, self.n_classes = config.patch, n_classes
        first, last = config.channels[0], config.channels[-1]
        pairs = list(zip(config.channels, config.channels[1:]))
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
        self.cells_in = nn.Conv2d(config.patch**2, first, 3, padding=1)
        self.cells_out = nn.Conv2d(first, 2 * config.patch**2, 3, padding=1)
        self.latents_out = nn.Conv2d(last, 2 * config.latents, 3, padding=1)
        self.latents_in = nn.Conv2d(config.latents, last, 3, padding=1)
        self.label_in = nn.Embedding(n_classes, first)
        self.label_out = nn.Embedding(n_classes, last)

    def encode(self, mels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latents, each `[batch, latents, height, width]`.

        `mels` are normalised, `[batch, 1, n_mels, frames]`, and `labels` [batch] their classes.
        """
        cells = F.pixel_unshuffle(mels, self.patch).contiguous(memory_format=torch.channels_last)
        images = self.cells_in(cells) + self.label_in(labels)[:, :, None, None]
        mean, log_variance = self.latents_out(self.encoder(images)).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-8, 4)

    def decode(self, latents: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log deviation of every cell of the mels, each `[batch, 1, n_mels, frames]`."""
        images = self.latents_in(latents) + self.label_out(labels)[:, :, None, None]
        mean, log_deviation = self.cells_out(self.decoder(images)).float().chunk(2, dim=1)
        return F.pixel_shuffle(mean, self.patch), F.pixel_shuffle(log_deviation, self.patch).clamp(-5, 2)


def build(config: AutoencoderConfig, n_classes: int) -> Autoencoder:
    """An Autoencoder in channels_last layout."""
    return Autoencoder(config, n_classes).to(memory_format=torch.channels_last)


def restore(state: dict[str, Tensor], config: AutoencoderConfig) -> Autoencoder:
    """The Autoencoder whose weights are those of `state` that begin with `autoencoder.`."""
    weights = submodule(state, "autoencoder.")
    model = build(config, n_classes=len(weights["label_in.weight"]))
    model.load_state_dict(weights)
    return model


def train(
    clips: Clips,  # of the training part
    normaliser: Normaliser,  # their statistics
    frames: int,  # length of a mel
    config: AutoencoderConfig,
    precision: Precision,
    seed: int,
    generator: str,  # name of the generator, for messages
    log: Log,  # called with `loss`, `error` (mean squared) and `divergence` (in nats)
) -> Autoencoder:
    """Train an Autoencoder and return it with its averaged weights.

    Raises InputError where the mels do not divide into latents.
    """
    for key, size in {f"generators.{generator}.fit.frames": frames, "mels.n_mels": normaliser.n_mels}.items():
        if size % config.factor:
            raise InputError(
                f"params.yaml: key `{key}` is {size}; the autoencoder needs a multiple of {config.factor} (`patch`, "
                "doubled at each of its `channels` after the first)"
            )
    device = clips.device
    rng = make_rng(seed)
    torch.manual_seed(seed)
    model = build(config, int(clips.labels.max()) + 1).to(device)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema))
    optimiser = torch.optim.AdamW(model.parameters(), config.learning_rate, fused=True)
    schedule = warmup_cosine(optimiser, config.updates)
    mean_log = MeanLog(log, config.updates)
    for _ in progress(range(config.updates), "autoencoder", "update"):
        clip_index = torch.randint(len(clips), (config.batch,), generator=rng).to(device)
        mels, labels = normaliser(clips.random_crops(clip_index, frames, rng)), clips.labels[clip_index]
        with autocast(device, precision):
            mean, log_variance = model.encode(mels, labels)
            noise = torch.randn(mean.shape, generator=rng).to(device)
            decoded, log_deviation = model.decode(mean + (log_variance / 2).exp() * noise, labels)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum((1, 2, 3)).mean()
        error = (mels - decoded) / log_deviation.exp()
        likelihood = (2 * log_deviation).exp().detach() * (log_deviation + 0.5 * error.square())
        loss = likelihood.mean() + config.kl * divergence / mels[0].numel()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        average.update_parameters(model)
        mean_log.add({"loss": loss, "error": (mels - decoded).square().mean(), "divergence": divergence})
    return cast(Autoencoder, average.module.eval())


@torch.no_grad()
def encode(model: Autoencoder, mels: Tensor, labels: Tensor, precision: Precision, batch: int = 128) -> Tensor:
    """The means of the latents `[clips, latents, height, width]` of normalised mels."""
    batches = zip(mels.split(batch), labels.split(batch), strict=True)
    with autocast(mels.device, precision):
        return torch.cat([model.encode(*part)[0] for part in batches])


@torch.no_grad()
def decode_sample(
    model: Autoencoder, latents: Tensor, label: int, precision: Precision, rng: torch.Generator, batch: int = 128
) -> Tensor:
    """Normalised mels `[clips, 1, n_mels, frames]` on the CPU, drawn from what the decoder makes of the latents."""
    mels = []
    for part in latents.split(batch):
        labels = torch.full((len(part),), label, device=part.device)
        with autocast(latents.device, precision):
            mean, log_deviation = model.decode(part, labels)
        noise = torch.randn(mean.shape, generator=rng)
        mels.append(mean.cpu() + log_deviation.exp().cpu() * noise)
    return torch.cat(mels)


def sample_prior(latents: Tensor, labels: Tensor, wanted: Tensor, rng: torch.Generator) -> Tensor:
    """Draw latents `[n, ...]` of the classes `wanted` [n].

    Each comes from the Gaussian with the mean and the covariance of those training clips' `latents` [clips, ...] that
    have its class among `labels` [clips] (ex-post density estimation, Ghosh et al. 2020, arXiv 1903.12436).
    """
    same = (labels == wanted[:, None]).float()
    counts, flat = same.sum(1, keepdim=True), latents.flatten(1)
    centre = same / counts @ flat
    weights = same * torch.randn(same.shape, generator=rng).to(same.device) / counts.sqrt()
    drawn = centre + weights @ flat - weights.sum(1, keepdim=True) * centre
    return drawn.unflatten(1, latents.shape[1:])
