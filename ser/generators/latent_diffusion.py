"""Diffusion over the tokens of an autoencoder (Rombach et al. 2022, arXiv 2112.10752), under the same conditions."""

import torch
from torch import Tensor

from ser.core.checkpoints import submodule
from ser.core.optim import Log
from ser.data.clips import Normaliser
from ser.generators.autoencoder import Autoencoder
from ser.generators.base import TrainingPart
from ser.generators.conditions import Conditions
from ser.generators.flow import FlowConfig
from ser.generators.sequence_diffusion import SequenceDiffusion


class LatentDiffusion(SequenceDiffusion):
    """A token is the latents of the autoencoder for FRAMES frames."""

    def __init__(
        self, config: FlowConfig, normaliser: Normaliser, conditions: Conditions, autoencoder: Autoencoder
    ) -> None:
        super().__init__(config, normaliser, conditions, autoencoder.latents)
        self.autoencoder = autoencoder

    def to_tokens(self, mels: Tensor) -> Tensor:
        return self.autoencoder.encode(mels, self.config.precision)

    def to_mels(self, tokens: Tensor) -> Tensor:
        return self.autoencoder.decode(tokens, self.config.precision)

    @classmethod
    def fit(cls, part: TrainingPart, config: FlowConfig, seed: int, log: Log) -> "LatentDiffusion":
        torch.manual_seed(seed)
        conditions = Conditions(part.factors, part.clips.length)
        generator = cls(config, part.normaliser, conditions, part.autoencoder)
        return generator.to(part.clips.device)._train(part, seed, log)

    @classmethod
    def restore(cls, state: dict[str, Tensor], config: FlowConfig) -> "LatentDiffusion":
        conditions = Conditions.from_state(state)
        autoencoder = Autoencoder.restore(submodule(state, "autoencoder."))
        generator = cls(config, Normaliser.from_state(state), conditions, autoencoder)
        generator.load_state_dict(state)
        return generator.eval()
