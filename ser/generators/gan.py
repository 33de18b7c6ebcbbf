"""A generative adversarial network over the tokens of the autoencoder, conditioned on the emotion.

Its generator network is called refiner: it starts from mixtures of two training clips, which have the words and the
variety of clips, and learns to make them pass for real ones (Beckham et al. 2019, On Adversarial Mixup Resynthesis,
arXiv 1903.02709). Starting from white noise collapsed to one mode. Hinge loss (Lim & Ye 2017, arXiv 1705.02894),
spectral normalisation (Miyato et al. 2018, arXiv 1802.05957), a projection discriminator (Miyato & Koyama 2018, arXiv
1802.05637) that sees the deviation over the batch (Karras et al. 2018, arXiv 1710.10196), and a moving average of the
refiner.
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ser.core.checkpoints import submodule
from ser.core.device import Precision, autocast
from ser.core.optim import LOG_POINTS, Log, MeanLog, ema_decay
from ser.core.params import Config
from ser.core.rng import make_rng
from ser.core.stage import progress
from ser.data.clips import Normaliser
from ser.generators import base, sequences
from ser.generators.autoencoder import Autoencoder
from ser.generators.base import TrainingPart
from ser.generators.mixtures import Mixtures, Shares
from ser.generators.sequences import FRAMES


class GANConfig(Shares):
    frames: int = Field(gt=0, multiple_of=FRAMES)
    channels: int = Field(gt=0)
    copies: int = Field(gt=0)
    stretch: float = Field(ge=0, lt=1)
    updates: int = Field(ge=LOG_POINTS)
    batch: int = Field(gt=1)
    generator_rate: float = Field(gt=0)
    discriminator_rate: float = Field(gt=0)
    ema: float = Field(ge=0, lt=1)
    precision: Precision


class GANSampleConfig(Config):
    count: int = Field(gt=0)


class Modulated(nn.Module):
    """Two convolutions and a shortcut, each after a normalisation whose scale and offset follow the emotion."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, elementwise_affine=False)
        self.scales = nn.ModuleList(nn.Linear(channels, 2 * channels) for _ in range(2))
        self.layers = nn.ModuleList(nn.Conv1d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, hidden: Tensor, label: Tensor, inside: Tensor) -> Tensor:
        residual = hidden
        for scales, layer in zip(self.scales, self.layers):
            scale, offset = scales(label)[:, None].chunk(2, dim=2)
            residual = convolved(layer, F.silu(self.norm(residual) * (1 + scale) + offset), inside)
        return hidden + residual


def convolved(layer: nn.Module, tokens: Tensor, inside: Tensor) -> Tensor:
    """A convolution along tokens `[batch, tokens, channels]`, for which those beyond the end of a clip are zero."""
    return layer((tokens * inside[:, :, None]).transpose(1, 2)).transpose(1, 2)


class Refiner(nn.Module):
    def __init__(self, latents: int, channels: int, n_classes: int) -> None:
        super().__init__()
        self.label = nn.Embedding(n_classes, channels)
        self.first = nn.Conv1d(2 * latents, channels, 3, padding=1)
        self.blocks = nn.ModuleList(Modulated(channels) for _ in range(3))
        self.norm = nn.LayerNorm(channels, elementwise_affine=False)
        self.last = nn.Conv1d(channels, latents, 3, padding=1)
        nn.init.zeros_(self.last.weight)

    def forward(self, mixed: Tensor, noise: Tensor, labels: Tensor, inside: Tensor) -> Tensor:
        """Tokens `[batch, tokens, latents]` from mixtures and white noise of that shape."""
        hidden = convolved(self.first, torch.cat([mixed, noise], dim=2), inside)
        embedded = self.label(labels)
        for block in self.blocks:
            hidden = block(hidden, embedded, inside)
        return mixed + convolved(self.last, F.silu(self.norm(hidden)), inside).float()


class Discriminator(nn.Module):
    def __init__(self, latents: int, channels: int, n_classes: int) -> None:
        super().__init__()
        self.first = _normalised(latents, channels)
        self.layers = nn.ModuleList(_normalised(channels, channels) for _ in range(4))
        self.last = _normalised(channels + 1, channels)
        self.score = spectral_norm(nn.Linear(channels, 1))
        self.label = spectral_norm(nn.Embedding(n_classes, channels))

    def forward(self, tokens: Tensor, labels: Tensor, inside: Tensor) -> Tensor:
        """How real tokens `[batch, tokens, latents]` of clips of these classes [batch] look, `[batch]`."""
        hidden = convolved(self.first, tokens, inside)
        for layer in self.layers:
            hidden = hidden + convolved(layer, F.leaky_relu(hidden, 0.2), inside)
        share = inside.float() / inside.sum(1, keepdim=True)
        clip = (share[:, :, None] * hidden.float()).sum(1)
        spread = clip.var(0, unbiased=False).add(1e-6).sqrt().mean()
        hidden = torch.cat([hidden, spread.expand(*hidden.shape[:2], 1).to(hidden.dtype)], dim=2)
        hidden = F.leaky_relu(convolved(self.last, F.leaky_relu(hidden, 0.2), inside), 0.2)
        features = (share[:, :, None] * hidden.float()).sum(1)
        return (self.score(features)[:, 0] + (self.label(labels) * features).sum(1)).float()


def _normalised(inputs: int, outputs: int) -> nn.Module:
    return spectral_norm(nn.Conv1d(inputs, outputs, 3, padding=1))


class GAN(base.Generator):
    """An autoencoder, mixtures of training clips in its tokens, their statistics, and a refiner of such mixtures."""

    FitConfig = GANConfig
    SampleConfig = GANSampleConfig
    token_mean: Tensor  # [latents]
    token_std: Tensor

    def __init__(
        self,
        config: GANConfig,
        normaliser: Normaliser,
        autoencoder: Autoencoder,
        mixtures: Mixtures,
        n_classes: int,
    ) -> None:
        super().__init__(config, normaliser)
        self.autoencoder = autoencoder
        self.mixtures = mixtures
        tokens = mixtures.tokens.float()
        self.register_buffer("token_mean", tokens.mean(0))
        self.register_buffer("token_std", tokens.std(0).clamp(min=1e-3))
        self.refiner = Refiner(autoencoder.latents, config.channels, n_classes)

    @classmethod
    def fit(cls, part: TrainingPart, config: GANConfig, seed: int, log: Log) -> "GAN":
        """Train refiner and discriminator, and keep the moving average of the refiner.

        `log` takes the losses of the discriminator, `loss`, and of the refiner, `generator`.
        """
        device, precision, labels = part.clips.device, config.precision, part.clips.labels
        n_classes = int(labels.max()) + 1

        def encode(mels: Tensor) -> Tensor:
            return part.autoencoder.encode(mels, precision)

        torch.manual_seed(seed)
        rng = make_rng(seed)
        mixtures = Mixtures.of(part, encode, config.frames)
        generator = cls(config, part.normaliser, part.autoencoder, mixtures, n_classes).to(device)
        real = sequences.make(part.clips, part.normaliser, encode, config.frames, config.copies, config.stretch, rng)
        clip_index = torch.arange(len(part.clips)).repeat(config.copies)
        mixed = sequences.join(mixtures.draw(clip_index, config, rng), clip_index.to(device))
        for tokens in real.tokens, mixed.tokens:
            tokens.sub_(generator.token_mean).div_(generator.token_std)

        refiner = generator.refiner
        discriminator = Discriminator(part.autoencoder.latents, config.channels, n_classes).to(device)
        decay = ema_decay(config.ema, config.updates)
        average = AveragedModel(refiner, multi_avg_fn=get_ema_multi_avg_fn(decay))
        refiner_optimiser = torch.optim.Adam(refiner.parameters(), config.generator_rate, (0.0, 0.99), fused=True)
        discriminator_optimiser = torch.optim.Adam(
            discriminator.parameters(), config.discriminator_rate, (0.0, 0.99), fused=True
        )
        mean_log = MeanLog(log, config.updates)
        real_batches, mixed_batches = (each.batches(config.batch, rng) for each in (real, mixed))

        def fake() -> tuple[Tensor, Tensor, Tensor]:
            """Refined mixtures, their labels, and where their clips are."""
            index = next(mixed_batches)
            tokens, length = mixed.padded(index)
            of_mixture = labels[mixed.clip_index[index]]
            inside = sequences.inside(length, tokens.shape[1])
            noise = torch.randn(tokens.shape, generator=rng).to(device)
            return refiner(tokens, noise, of_mixture, inside), of_mixture, inside

        for _ in progress(range(config.updates), "GAN", "update"):
            index = next(real_batches)
            tokens, length = real.padded(index)
            inside = sequences.inside(length, tokens.shape[1])
            with autocast(device, precision):
                with torch.no_grad():
                    fakes = fake()
                real_score = discriminator(tokens, labels[real.clip_index[index]], inside)
                fake_score = discriminator(*fakes)
            loss = F.relu(1 - real_score).mean() + F.relu(1 + fake_score).mean()
            discriminator_optimiser.zero_grad()
            loss.backward()
            discriminator_optimiser.step()
            with autocast(device, precision):
                refiner_loss = -discriminator(*fake()).mean()
            refiner_optimiser.zero_grad()
            refiner_loss.backward()
            refiner_optimiser.step()
            average.update_parameters(refiner)
            mean_log.add({"loss": loss, "generator": refiner_loss})
        refiner.load_state_dict(average.module.state_dict())
        return generator.eval()

    @classmethod
    def restore(cls, state: dict[str, Tensor], config: GANConfig) -> "GAN":
        autoencoder = Autoencoder.restore(submodule(state, "autoencoder."))
        mixtures = Mixtures.from_state(submodule(state, "mixtures."))
        n_classes = len(state["refiner.label.weight"])
        generator = cls(config, Normaliser.from_state(state), autoencoder, mixtures, n_classes)
        generator.load_state_dict(state)
        return generator.eval()

    @torch.inference_mode()
    def sample(
        self, label: int, embeddings: Tensor, config: GANSampleConfig, rng: torch.Generator, batch: int = 64
    ) -> list[Tensor]:
        """Draw normalised mels `[n_mels, frames]` of the emotion; `embeddings` are not used."""
        first = self.mixtures.first_clips(label, config.count, rng)
        mixed = sequences.join(self.mixtures.draw(first, self.config, rng), first.to(self.device))
        mels: list[Tensor] = []
        for index in torch.arange(config.count, device=self.device).split(batch):
            tokens, length = mixed.padded(index)
            inside = sequences.inside(length, tokens.shape[1])
            tokens = (tokens - self.token_mean) / self.token_std * inside[:, :, None]
            noise = torch.randn(tokens.shape, generator=rng).to(self.device)
            labels = torch.full((len(index),), label, device=self.device)
            with autocast(self.device, self.config.precision):
                refined = self.refiner(tokens, noise, labels, inside)
            refined = refined * self.token_std + self.token_mean
            for clip, own, count in zip(first[index.cpu()].tolist(), refined, length.tolist(), strict=True):
                mel = self.autoencoder.decode(own[None, :count], self.config.precision)[0]
                mels.append(mel[:, : self.mixtures.conditions.length[clip]].cpu())
        return mels
