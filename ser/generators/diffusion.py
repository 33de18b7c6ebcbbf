"""Denoising diffusion over mel spectrograms.

It is conditioned on emotion embeddings (Kim & Lee 2024, section 3) and on the emotion itself.
"""

import torch
from torch import Tensor

from ser.core.errors import InputError
from ser.core.optim import Log
from ser.data.clips import Clips, Normaliser
from ser.generators import base, denoiser
from ser.generators.denoiser import DenoiserConfig, DiffusionSampleConfig, EnhancementConfig


class Diffusion(base.Generator):
    FitConfig = DenoiserConfig
    SampleConfig = DiffusionSampleConfig

    def __init__(self, config: DenoiserConfig, normaliser: Normaliser, condition_width: int) -> None:
        super().__init__(config, normaliser)
        self.condition_width = condition_width
        self.denoiser = denoiser.build(config, condition_width)

    @classmethod
    def fit(
        cls, clips: Clips, normaliser: Normaliser, embeddings: Tensor, config: DenoiserConfig, seed: int, log: Log
    ) -> "Diffusion":
        """Train a denoiser and keep its exponential moving average.

        Raises InputError where the mels do not divide into the U-Net's cells.
        """
        config.check_sizes("diffusion", normaliser.n_mels)
        torch.manual_seed(seed)
        condition = denoiser.make_condition(embeddings.to(clips.device), clips.labels, int(clips.labels.max()) + 1)
        generator = cls(config, normaliser, condition.shape[1]).to(clips.device)

        def mels(clip_index: Tensor, rng: torch.Generator) -> Tensor:
            return normaliser(clips.random_crops(clip_index, config.frames, rng))

        averaged = denoiser.train(generator.denoiser, mels, condition, config, seed, log)
        generator.denoiser.load_state_dict(averaged)
        return generator

    @classmethod
    def restore(cls, state: dict[str, Tensor], config: DenoiserConfig) -> "Diffusion":
        normaliser = Normaliser.from_state(state)
        generator = cls(config, normaliser, state["denoiser.condition.weight"].shape[1])
        generator.load_state_dict(state)
        return generator.eval()

    @torch.inference_mode()
    def sample(
        self, label: int, embeddings: Tensor, config: DiffusionSampleConfig, rng: torch.Generator, batch: int = 64
    ) -> Tensor:
        """Draw normalised mels `[count, 1, n_mels, frames]`, each for an embedding near those of the emotion."""
        sampled = denoiser.sample_embeddings(embeddings, config.count, config.spread, rng)
        mels = []
        for condition in self._condition(sampled, torch.full((config.count,), label)).split(batch):
            solver = denoiser.make_solver(config.sampler, config.steps)
            shape = len(condition), 1, self.normaliser.n_mels, self.config.frames
            noise = torch.randn(shape, generator=rng).to(self.device)
            images = denoiser.denoise(
                self.denoiser,
                noise,
                condition,
                solver,
                solver.timesteps,
                config.guidance,
                self.config.precision,
                rng,
            )
            mels.append(images.cpu())
        return torch.cat(mels)

    @torch.inference_mode()
    def enhance(
        self,
        mels: Tensor,  # normalised, [clips, 1, n_mels, frames]
        labels: Tensor | None,  # [clips], or None to use no condition
        embeddings: Tensor | None,  # [clips, width], or None as well
        config: EnhancementConfig,
        rng: torch.Generator,
        batch: int = 64,
    ) -> Tensor:
        """Noise mels to `strength`, a share of the way to pure noise, and denoise them under conditions.

        This is the "enhancement" of Kim & Lee 2024, known for pictures as SDEdit (Meng et al. 2022, arXiv 2108.01073).
        Raises InputError where no step of the sampler is that near to the clean mels.
        """
        if labels is None or embeddings is None:
            condition, guidance = torch.zeros(len(mels), self.condition_width, device=self.device), 0.0
        else:
            condition, guidance = self._condition(embeddings, labels), config.guidance
        enhanced = []
        for clean, part in zip(mels.to(self.device).split(batch), condition.split(batch), strict=True):
            solver = denoiser.make_solver(config.sampler, config.steps)
            times = solver.timesteps[solver.timesteps <= denoiser.TRAIN_STEPS * config.strength]
            if not len(times):
                raise InputError(
                    f"params.yaml: key `enhancement.steps` is {config.steps}: none of these steps is within "
                    f"`enhancement.strength`, {config.strength}; raise either"
                )
            noise = torch.randn(clean.shape, generator=rng).to(self.device)
            noisy = denoiser.noise_schedule().add_noise(clean, noise, times[:1].to(self.device))
            images = denoiser.denoise(self.denoiser, noisy, part, solver, times, guidance, self.config.precision, rng)
            enhanced.append(images.cpu())
        return torch.cat(enhanced)

    def _condition(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        n_classes = self.condition_width - embeddings.shape[1]
        return denoiser.make_condition(embeddings, labels, n_classes).to(self.device)
