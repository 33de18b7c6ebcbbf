"""Diffusion over mel spectrograms, four frames at a time, conditioned on the factors and the length of a clip."""

import torch
from torch import Tensor

from ser.core.optim import Log
from ser.data.clips import Normaliser
from ser.generators.base import TrainingPart
from ser.generators.conditions import Conditions
from ser.generators.flow import FlowConfig
from ser.generators.sequence_diffusion import SequenceDiffusion
from ser.generators.sequences import FRAMES, from_patches, patches


class Diffusion(SequenceDiffusion):
    """A token is FRAMES frames of the mel, band by band."""

    def to_tokens(self, mels: Tensor) -> Tensor:
        return patches(mels)

    def to_mels(self, tokens: Tensor) -> Tensor:
        return from_patches(tokens)

    @classmethod
    def fit(cls, part: TrainingPart, config: FlowConfig, seed: int, log: Log) -> "Diffusion":
        torch.manual_seed(seed)
        conditions = Conditions(part.factors, part.clips.length)
        generator = cls(config, part.normaliser, conditions, FRAMES * part.normaliser.n_mels)
        return generator.to(part.clips.device)._train(part, seed, log)

    @classmethod
    def restore(cls, state: dict[str, Tensor], config: FlowConfig) -> "Diffusion":
        conditions = Conditions.from_state(state)
        generator = cls(config, Normaliser.from_state(state), conditions, len(state["token_mean"]))
        generator.load_state_dict(state)
        return generator.eval()
