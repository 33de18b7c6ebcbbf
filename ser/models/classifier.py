"""Classifiers: mel spectrograms `[batch, 1, n_mels, frames]` in, one logit per class out."""

import importlib
import pkgutil
from typing import Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from ser.core.device import Precision, autocast
from ser.core.errors import hint
from ser.core.params import Config
from ser.data.clips import Clips, Normaliser
from ser.models import backbones


class ClassifierConfig(Config):
    arch: str
    pretrained: Literal["none", "imagenet"]
    frames: int = Field(gt=0)
    resize: int | None = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)

    @field_validator("arch")
    @classmethod
    def _known(cls, arch: str) -> str:
        known = [module.name for module in pkgutil.iter_modules(backbones.__path__)]
        if arch not in known:
            raise ValueError(f"there is no ser/models/backbones/{arch}.py, {hint(arch, known)}")
        return arch

    @property
    def module(self) -> str:
        """The module of the backbone (ser.models.backbones)."""
        return f"{backbones.__name__}.{self.arch}"

    def untrained(self) -> "ClassifierConfig":
        """The same without pretrained weights: for a network whose weights are loaded afterwards."""
        return self.model_copy(update={"pretrained": "none"})


class Classifier(nn.Module):
    """A backbone that turns a spectrogram into an embedding, then dropout and one linear layer."""

    def __init__(self, config: ClassifierConfig, normaliser: Normaliser, n_classes: int) -> None:
        super().__init__()
        self.normaliser = normaliser
        self.resize = config.resize
        size = (self.resize, self.resize) if self.resize else (normaliser.n_mels, config.frames)
        module = importlib.import_module(config.module)
        self.backbone, width = module.build(*size, config.pretrained == "imagenet")
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(width, n_classes)

    def embed(self, mels: Tensor) -> Tensor:
        """The penultimate features `[batch, width]` of normalised mels `[batch, 1, n_mels, frames]`."""
        if self.resize:
            mels = F.interpolate(mels, (self.resize, self.resize), mode="bilinear", antialias=True)
        return self.backbone(mels)

    def forward(self, mels: Tensor) -> Tensor:
        """Logits `[batch, classes]` of normalised mels `[batch, 1, n_mels, frames]`."""
        return self.head(self.dropout(self.embed(mels)))


def build_classifier(config: ClassifierConfig, normaliser: Normaliser, n_classes: int, seed: int) -> Classifier:
    """A Classifier in channels_last layout whose initial weights are determined by `seed`."""
    torch.manual_seed(seed)
    return Classifier(config, normaliser, n_classes).to(memory_format=torch.channels_last)


@torch.inference_mode()
def evaluate(
    model: Classifier, clips: Clips, frames: int, precision: Precision, embed: bool = False, batch: int = 128
) -> Tensor:
    """The output of `model` for every clip, averaged over the crops of `frames` that cover it.

    Returns logits `[clips, classes]`, or embeddings `[clips, width]` with `embed`, float32 on the CPU.
    """
    model.eval()
    function = model.embed if embed else model
    clip_index, position = clips.covering(frames)
    outputs = []
    for index, places in zip(clip_index.split(batch), position.split(batch), strict=True):
        mels = model.normaliser(clips.crops(index, frames, places)).contiguous(memory_format=torch.channels_last)
        with autocast(index.device, precision):
            outputs.append(function(mels).float().cpu())
    return mean_over_crops(torch.cat(outputs), clip_index.cpu())


def mean_over_crops(outputs: Tensor, clip_index: Tensor) -> Tensor:
    """The mean of `outputs` [crops, width] over the crops of each clip, `[clips, width]`.

    `clip_index` [crops] has the number of each crop's clip; every clip has at least one crop.
    """
    count = clip_index.bincount()
    return torch.zeros(len(count), outputs.shape[1]).index_add_(0, clip_index, outputs) / count[:, None]
