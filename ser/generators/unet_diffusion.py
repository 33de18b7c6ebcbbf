"""Denoising diffusion over mel spectrograms as images, with a U-Net, as the published projects do it.

It is conditioned on emotion embeddings (Kim & Lee 2024, section 3) and on the emotion itself. All clips have the same
length. The replications use it; in the study it is outdone by `diffusion`.
"""

import torch
from torch import Tensor

from ser.core.optim import Log
from ser.data.clips import Normaliser
from ser.generators import base, unet
from ser.generators.base import EnhancementConfig, TrainingPart
from ser.generators.unet import UNetConfig, UNetSampleConfig


class UNetDiffusion(base.Generator):
    FitConfig = UNetConfig
    SampleConfig = UNetSampleConfig

    def __init__(self, config: UNetConfig, normaliser: Normaliser, condition_width: int) -> None:
        super().__init__(config, normaliser)
        self.condition_width = condition_width
        self.unet = unet.build(config, condition_width)

    @classmethod
    def fit(cls, part: TrainingPart, config: UNetConfig, seed: int, log: Log) -> "UNetDiffusion":
        """Train a U-Net and keep its exponential moving average.

        Raises InputError where the mels do not divide into the U-Net's cells.
        """
        clips = part.clips
        config.check_sizes("unet_diffusion", part.normaliser.n_mels)
        torch.manual_seed(seed)
        condition = unet.make_condition(part.embeddings.to(clips.device), clips.labels, int(clips.labels.max()) + 1)
        generator = cls(config, part.normaliser, condition.shape[1]).to(clips.device)

        def mels(clip_index: Tensor, rng: torch.Generator) -> Tensor:
            return part.normaliser(clips.random_crops(clip_index, config.frames, rng))

        generator.unet.load_state_dict(unet.train(generator.unet, mels, condition, config, seed, log))
        return generator

    @classmethod
    def restore(cls, state: dict[str, Tensor], config: UNetConfig) -> "UNetDiffusion":
        generator = cls(config, Normaliser.from_state(state), state["unet.condition.weight"].shape[1])
        generator.load_state_dict(state)
        return generator.eval()

    @torch.inference_mode()
    def sample(
        self, label: int, embeddings: Tensor, config: UNetSampleConfig, rng: torch.Generator, batch: int = 64
    ) -> list[Tensor]:
        """Draw normalised mels `[n_mels, frames]`, each for an embedding near those of the emotion."""
        drawn = unet.sample_embeddings(embeddings, config.count, config.spread, rng)
        mels: list[Tensor] = []
        for condition in self._condition(drawn, torch.full((config.count,), label)).split(batch):
            shape = len(condition), 1, self.normaliser.n_mels, self.config.frames
            noise = torch.randn(shape, generator=rng).to(self.device)
            solver = unet.make_solver(config.sampler, config.steps)
            mels += self._denoise(noise, condition, solver, config.guidance, rng)
        return mels

    @torch.inference_mode()
    def enhance(
        self,
        mels: list[Tensor],
        labels: Tensor | None,
        embeddings: Tensor | None,
        config: EnhancementConfig,
        rng: torch.Generator,
        batch: int = 64,
    ) -> list[Tensor]:
        if labels is None or embeddings is None:
            condition, guidance = torch.zeros(len(mels), self.condition_width, device=self.device), 0.0
        else:
            condition, guidance = self._condition(embeddings, labels), config.guidance
        padded = [self.normaliser.padded(mel, self.config.frames) for mel in mels]
        clean_mels = torch.stack(padded)[:, None].to(self.device)
        enhanced: list[Tensor] = []
        for clean, part in zip(clean_mels.split(batch), condition.split(batch), strict=True):
            solver = unet.make_solver("dpm_solver", config.steps, config.strength)
            noise = torch.randn(clean.shape, generator=rng).to(self.device)
            noisy = unet.noise_schedule().add_noise(clean, noise, solver.timesteps[:1].to(self.device))
            enhanced += self._denoise(noisy, part, solver, guidance, rng)
        return [image[:, : mel.shape[1]] for image, mel in zip(enhanced, mels, strict=True)]

    def _denoise(
        self, images: Tensor, condition: Tensor, solver: unet.Solver, guidance: float, rng: torch.Generator
    ) -> list[Tensor]:
        return list(
            unet.denoise(self.unet, images, condition, solver, guidance, self.config.precision, rng).cpu()[:, 0]
        )

    def _condition(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        n_classes = self.condition_width - embeddings.shape[1]
        return unet.make_condition(embeddings, labels, n_classes).to(self.device)
