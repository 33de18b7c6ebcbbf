"""Diffusion over a clip as a sequence of tokens: what `diffusion` and `latent_diffusion` share as generators."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from torch import Tensor

from ser.core.device import autocast
from ser.core.optim import Log
from ser.core.rng import make_rng
from ser.data.clips import Normaliser
from ser.generators import base, sequences
from ser.generators.base import EnhancementConfig, RecognitionConfig, TrainingPart
from ser.generators.conditions import EMOTION, Conditions, scaled
from ser.generators.flow import Flow, FlowConfig, FlowSampleConfig, follow, train
from ser.generators.sequences import FRAMES, inside, n_tokens


class SequenceDiffusion(base.Generator):
    """A flow over tokens, their statistics, and the conditions of the training clips.

    A subclass says how mels become tokens and back.
    """

    FitConfig = FlowConfig
    SampleConfig = FlowSampleConfig
    token_mean: Tensor  # [token width]
    token_std: Tensor  # one number: what varies little is to stay small, and to be denoised late

    def __init__(self, config: FlowConfig, normaliser: Normaliser, conditions: Conditions, token_width: int) -> None:
        super().__init__(config, normaliser)
        self.conditions = conditions
        self.flow = Flow(config, token_width, conditions.sizes)
        self.register_buffer("token_mean", torch.zeros(token_width))
        self.register_buffer("token_std", torch.ones(1))

    @abstractmethod
    def to_tokens(self, mels: Tensor) -> Tensor:
        """Normalised mels `[clips, n_mels, frames]` as tokens `[clips, frames / FRAMES, token width]`."""

    @abstractmethod
    def to_mels(self, tokens: Tensor) -> Tensor:
        """The inverse of `to_tokens`."""

    def _train(self, part: TrainingPart, seed: int, log: Log) -> Self:
        config: FlowConfig = self.config
        rng = make_rng(seed)
        made = sequences.make(
            part.clips, part.normaliser, self.to_tokens, config.frames, config.copies, config.stretch, rng
        )
        self.token_mean[:], self.token_std[:] = made.tokens.mean(0), made.tokens.std(0).square().mean().sqrt()
        made.tokens.sub_(self.token_mean).div_(self.token_std)
        self.flow.load_state_dict(train(self.flow, made, part.factors, config, seed, log))
        return self.eval()

    @torch.inference_mode()
    def sample(
        self, label: int, embeddings: Tensor, config: FlowSampleConfig, rng: torch.Generator, batch: int = 64
    ) -> list[Tensor]:
        """Draw normalised mels `[n_mels, frames]`, with conditions like those of training clips of the emotion."""
        codes, frames = self.conditions.draw(label, config.count, self.config.frames, rng)
        length = n_tokens(frames)
        noise = torch.randn(config.count, int(length.max()), len(self.token_mean), generator=rng)

        def draw(index: Tensor) -> list[Tensor]:
            noisy = noise[index.cpu(), : int(length[index].max())].to(self.device)
            return self._denoise(noisy, frames[index], codes[index], config.steps, config.guidance)

        return in_order_of_length(frames, draw, batch)

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
        """See `Generator.enhance`; all factors but the emotion are unknown, and `embeddings` are not used."""
        frames = torch.tensor([mel.shape[1] for mel in mels], device=self.device)
        length = n_tokens(frames)
        noise = torch.randn(len(mels), int(length.max()), len(self.token_mean), generator=rng)
        codes = torch.zeros(len(mels), self.conditions.codes.shape[1], dtype=torch.long, device=self.device)
        guidance = 1.0
        if labels is not None:
            codes[:, EMOTION], guidance = 1 + labels, config.guidance

        def denoise(index: Tensor) -> list[Tensor]:
            clean = self._clean_tokens(mels, index, length)
            noisy = clean + config.strength * (noise[index.cpu(), : clean.shape[1]].to(self.device) - clean)
            return self._denoise(noisy, frames[index], codes[index], config.steps, guidance, config.strength)

        return in_order_of_length(frames, denoise, batch)

    @torch.inference_mode()
    def log_likelihoods(
        self, mels: list[Tensor], n_classes: int, config: RecognitionConfig, rng: torch.Generator, batch: int = 64
    ) -> Tensor:
        """See `Generator.log_likelihoods`; all factors but the emotion are unknown."""
        frames = torch.tensor([mel.shape[1] for mel in mels], device=self.device)
        length = n_tokens(frames)
        times = torch.linspace(config.lowest, config.highest, config.levels).tolist()
        noises = torch.randn(config.levels, int(length.max()), len(self.token_mean), generator=rng).to(self.device)
        codes = torch.zeros(n_classes, self.conditions.codes.shape[1], dtype=torch.long, device=self.device)
        codes[:, EMOTION] = 1 + torch.arange(n_classes)

        def errors(index: Tensor) -> Tensor:
            clean = self._clean_tokens(mels, index, length)
            clips, longest = clean.shape[:2]
            counted = inside(length[index], longest)
            conditions = (
                length[index].repeat(n_classes),
                codes.repeat_interleave(clips, 0),
                scaled(frames[index], 1.0, 1.0).repeat(n_classes, 1),
            )
            total = torch.zeros(n_classes, clips, device=self.device)
            for time, noise in zip(times, noises[:, :longest], strict=True):
                noisy = (clean + time * (noise - clean)).repeat(n_classes, 1, 1)
                with autocast(self.device, self.config.precision):
                    direction = self.flow(noisy, torch.full((len(noisy),), time, device=self.device), *conditions)
                error = (direction.float().unflatten(0, (n_classes, clips)) - (noise - clean)).square().mean(3)
                total += (error * counted).sum(2)
            return total.T / config.levels

        return -torch.stack(in_order_of_length(frames, errors, batch))

    def _clean_tokens(self, mels: list[Tensor], index: Tensor, length: Tensor) -> Tensor:
        """The mels `index` [n] of `length` tokens [clips] as tokens `[n, longest, token width]`, silent beyond the end.

        Tokens have the mean 0 and the standard deviation 1 that the flow knows.
        """
        longest = FRAMES * int(length[index].max())
        padded = [self.normaliser.padded(mels[number].to(self.device), longest) for number in index.tolist()]
        return (self.to_tokens(torch.stack(padded)) - self.token_mean) / self.token_std

    def _denoise(
        self, tokens: Tensor, frames: Tensor, codes: Tensor, steps: int, guidance: float, start: float = 1.0
    ) -> list[Tensor]:
        """Mels on the CPU, of `frames` [clips] each, from noisy `tokens` [clips, longest, token width]."""
        length = n_tokens(frames)
        numbers = scaled(frames, 1.0, 1.0)
        clean = follow(self.flow, tokens, length, codes, numbers, steps, guidance, self.config.precision, start)
        silence = self.to_tokens(self.normaliser.silence().expand(-1, 9 * FRAMES)[None])[0, 4]  # away from the edges
        mels = self.to_mels(
            torch.where(inside(length, clean.shape[1])[:, :, None], clean * self.token_std + self.token_mean, silence)
        ).cpu()
        return [mel[:, :count] for mel, count in zip(mels, frames.tolist(), strict=True)]


def in_order_of_length(
    length: Tensor,  # [clips]
    make: Callable[[Tensor], Iterable[Any]],  # what belongs to the clips with these numbers
    batch: int,
) -> list[Any]:
    """What `make` makes of all clips, a batch of about the same length at a time, in the order of the clips."""
    made: dict[int, Any] = {}
    for index in length.argsort(stable=True).split(batch):
        made |= zip(index.tolist(), make(index), strict=True)
    return [made[number] for number in range(len(length))]
