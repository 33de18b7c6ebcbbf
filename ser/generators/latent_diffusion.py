"""Denoising diffusion in the latent space of an autoencoder (Rombach et al. 2022, arXiv 2112.10752)."""

import torch
from torch import Tensor

from ser.core.optim import Log, ignore
from ser.core.rng import make_rng
from ser.data.clips import Clips, Normaliser
from ser.generators import autoencoder, base, denoiser
from ser.generators.autoencoder import Autoencoder, AutoencoderConfig
from ser.generators.denoiser import DenoiserConfig, DiffusionSampleConfig


class LatentDiffusionConfig(DenoiserConfig):
    autoencoder: AutoencoderConfig


class LatentDiffusion(base.Generator):
    """An autoencoder, a denoiser of its latents, and the statistics of the latents per channel."""

    FitConfig = LatentDiffusionConfig
    SampleConfig = DiffusionSampleConfig
    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self, config: LatentDiffusionConfig, normaliser: Normaliser, encoder: Autoencoder, embedding_width: int
    ) -> None:
        super().__init__(config, normaliser)
        latents = config.autoencoder.latents
        self.autoencoder = encoder
        self.denoiser = denoiser.build(config, embedding_width + encoder.n_classes, latents)
        self.register_buffer("latent_mean", torch.zeros(latents, 1, 1))
        self.register_buffer("latent_std", torch.ones(latents, 1, 1))

    @classmethod
    def fit(
        cls,
        clips: Clips,
        normaliser: Normaliser,
        embeddings: Tensor,
        config: LatentDiffusionConfig,
        seed: int,
        log: Log,
    ) -> "LatentDiffusion":
        """Train an autoencoder, then a denoiser of its latents; `log` takes the loss of the denoiser.

        Raises InputError where the mels do not divide into latents, or those into the U-Net's cells.
        """
        config.check_sizes("latent_diffusion", normaliser.n_mels, config.autoencoder.factor)
        encoder = autoencoder.train(
            clips, normaliser, config.frames, config.autoencoder, config.precision, seed, "latent_diffusion", ignore
        )

        def encode(clip_index: Tensor, rng: torch.Generator) -> Tensor:
            mels = normaliser(clips.random_crops(clip_index, config.frames, rng))
            return autoencoder.encode(encoder, mels, clips.labels[clip_index], config.precision)

        latents = encode(torch.arange(len(clips), device=clips.device), make_rng(seed))
        torch.manual_seed(seed)
        generator = cls(config, normaliser, encoder, embeddings.shape[1]).to(clips.device)
        generator.latent_mean[:] = latents.mean((0, 2, 3))[:, None, None]
        generator.latent_std[:] = latents.std((0, 2, 3))[:, None, None]

        def images(clip_index: Tensor, rng: torch.Generator) -> Tensor:
            return (encode(clip_index, rng) - generator.latent_mean) / generator.latent_std

        condition = denoiser.make_condition(embeddings.to(clips.device), clips.labels, encoder.n_classes)
        averaged = denoiser.train(generator.denoiser, images, condition, config, seed, log)
        generator.denoiser.load_state_dict(averaged)
        return generator

    @classmethod
    def restore(cls, state: dict[str, Tensor], config: LatentDiffusionConfig) -> "LatentDiffusion":
        normaliser = Normaliser.from_state(state)
        encoder = autoencoder.restore(state, config.autoencoder)
        embedding_width = state["denoiser.condition.weight"].shape[1] - encoder.n_classes
        generator = cls(config, normaliser, encoder, embedding_width)
        generator.load_state_dict(state)
        return generator.eval()

    @torch.inference_mode()
    def sample(
        self, label: int, embeddings: Tensor, config: DiffusionSampleConfig, rng: torch.Generator, batch: int = 128
    ) -> Tensor:
        """Draw normalised mels `[count, 1, n_mels, frames]`, each for an embedding near those of the emotion."""
        factor, precision = self.config.autoencoder.factor, self.config.precision
        size = self.config.autoencoder.latents, self.normaliser.n_mels // factor, self.config.frames // factor
        sampled = denoiser.sample_embeddings(embeddings, config.count, config.spread, rng)
        labels = torch.full((config.count,), label)
        conditions = denoiser.make_condition(sampled, labels, self.autoencoder.n_classes).to(self.device)
        mels = []
        for condition in conditions.split(batch):
            solver = denoiser.make_solver(config.sampler, config.steps)
            noise = torch.randn((len(condition), *size), generator=rng).to(self.device)
            images = denoiser.denoise(
                self.denoiser, noise, condition, solver, solver.timesteps, config.guidance, precision, rng
            )
            latents = images * self.latent_std + self.latent_mean
            mels.append(autoencoder.decode_sample(self.autoencoder, latents, label, precision, rng))
        return torch.cat(mels)
