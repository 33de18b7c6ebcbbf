"""What every generator is: the contract between a generator and the stages that use it."""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from ser import generators
from ser.core.errors import InputError, hint
from ser.core.optim import Log
from ser.core.params import Config
from ser.data.clips import Clips, Normaliser
from ser.generators.autoencoder import Autoencoder

# Modules here that are not generators.
SHARED = ("autoencoder", "base", "conditions", "flow", "mixtures", "sequence_diffusion", "sequences", "unet")
_registry: dict[str, type["Generator"]] = {}


@dataclass(frozen=True)
class TrainingPart:
    """What a generator of one fold may be fitted to, on the device to fit on."""

    clips: Clips
    normaliser: Normaliser  # their statistics
    factors: Tensor  # int64 [clips, FACTORS], of these clips (ser/data/factors.py)
    embeddings: Tensor  # [clips, width], of these clips by the fold's baseline
    autoencoder: Autoencoder  # fitted to these clips


class EnhancementConfig(Config):
    strength: float = Field(gt=0, le=1)
    steps: int = Field(gt=0)
    guidance: float = Field(ge=0)


class RecognitionConfig(Config):
    levels: int = Field(gt=0)
    lowest: float = Field(gt=0, lt=1)
    highest: float = Field(gt=0, lt=1)
    scale: float = Field(gt=0)


class Generator(nn.Module, ABC):
    """A model of the mels of one fold's training clips, by emotion.

    Everything that `sample` needs is in its state: `restore` builds it again from `state_dict()` and the FitConfig.
    A subclass is found by the name of its module (see `get`).
    """

    FitConfig: ClassVar[type[Config]]  # params.yaml: generators.<name>.fit
    SampleConfig: ClassVar[type[Config]]  # params.yaml: generators.<name>.sample, with a field `count`

    def __init__(self, config: Any, normaliser: Normaliser) -> None:
        super().__init__()
        self.config = config  # FitConfig
        self.normaliser = normaliser

    def __init_subclass__(cls) -> None:
        _registry[cls.__module__.rpartition(".")[2]] = cls

    @classmethod
    @abstractmethod
    def fit(
        cls,
        part: TrainingPart,
        config: Any,  # FitConfig
        seed: int,
        log: Log,  # called about LOG_POINTS times, with at least `loss`
    ) -> "Generator":
        """Fit a generator. Raises InputError where the configuration does not suit the mels."""

    @classmethod
    @abstractmethod
    def restore(cls, state: dict[str, Tensor], config: Any) -> "Generator":
        """The generator that `fit` made with this configuration, from its state."""

    @abstractmethod
    def sample(
        self,
        label: int,  # class number of the emotion
        embeddings: Tensor,  # [clips, width], of the training clips of that emotion
        config: Any,  # SampleConfig
        rng: torch.Generator,  # on the CPU
    ) -> list[Tensor]:
        """Draw normalised mels `[n_mels, frames]`, each of its own length."""

    def enhance(
        self,
        mels: list[Tensor],  # normalised, [n_mels, frames], of at most `config.frames` of the FitConfig
        labels: Tensor | None,  # [clips], or None to use no condition
        embeddings: Tensor | None,  # [clips, width], or None as well
        config: EnhancementConfig,
        rng: torch.Generator,
    ) -> list[Tensor]:
        """Noise mels to the level `strength` and denoise them under emotions; the lengths stay.

        This is the "enhancement" of Kim & Lee 2024, known for pictures as SDEdit (Meng et al. 2022, arXiv 2108.01073).
        Generators that are no diffusion models do not have it.
        """
        raise NotImplementedError

    def log_likelihoods(
        self,
        mels: list[Tensor],  # normalised, [n_mels, frames], of at most `config.frames` of the FitConfig
        n_classes: int,
        config: RecognitionConfig,
        rng: torch.Generator,
    ) -> Tensor:
        """How well each class explains each mel, `[clips, classes]`: minus the error of denoising it as that class.

        The error is summed over the tokens of a mel and averaged over `levels` of noise; a level has the same noise
        under all classes. Up to a constant and a scale it bounds the log likelihood (Li et al. 2023, Your Diffusion
        Model is Secretly a Zero-Shot Classifier, arXiv 2303.16203). Generators that are no diffusion models do not have
        it.
        """
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        return self.normaliser.mean.device


def known() -> list[str]:
    """The names of all generators."""
    return [module.name for module in pkgutil.iter_modules(generators.__path__) if module.name not in SHARED]


def module(name: str) -> str:
    """The module of the generator `name`."""
    return f"{generators.__name__}.{name}"


def get(name: str) -> type[Generator]:
    """The generator `name`, from ser/generators/<name>.py. Raises InputError where there is none."""
    if name not in known():
        why = f"there is no ser/generators/{name}.py, {hint(name, known())}"
        raise InputError(f"params.yaml: key `study.generators`: {why}")
    importlib.import_module(module(name))
    return _registry[name]
