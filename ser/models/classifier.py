"""Classifiers: mel spectrograms `[batch, 1, mels, frames]` in, one logit an emotion out."""

import difflib
import importlib
import pkgutil
from typing import Literal

import torch
from pydantic import Field, field_validator
from torch import nn
from torch.nn import functional as F

from ser.core.device import autocast
from ser.core.params import Section
from ser.models import backbones


class ClassifierSettings(Section):
    arch: str
    pretrained: Literal["none", "imagenet"]
    frames: int = Field(gt=0)
    resize: int | None = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)

    @field_validator("arch")
    @classmethod
    def _known(cls, arch):
        known = [module.name for module in pkgutil.iter_modules(backbones.__path__)]
        if arch not in known:
            close = difflib.get_close_matches(arch, known, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}"
            raise ValueError(f"there is no ser/models/backbones/{arch}.py, {hint}")
        return arch


class Classifier(nn.Module):
    """A body of ser.models.backbones that turns a spectrogram into an embedding, then dropout and one linear layer.

    Its `build(n_mels, frames, pretrained)` is told the size that it sees and whether to load ImageNet weights, and
    returns a module `[batch, 1, n_mels, frames]` to `[batch, width]`, and that width.
    """

    def __init__(self, settings, n_mels, emotions):
        super().__init__()
        self.resize = settings.resize
        size = (self.resize, self.resize) if self.resize else (n_mels, settings.frames)
        module = importlib.import_module(f"ser.models.backbones.{settings.arch}")
        self.body, width = module.build(*size, settings.pretrained == "imagenet")
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(width, emotions)

    def embed(self, mels):
        """The penultimate features `[batch, width]` of normalised mels `[batch, 1, n_mels, frames]`."""
        if self.resize:
            mels = F.interpolate(mels, (self.resize, self.resize), mode="bilinear", antialias=True)
        return self.body(mels)

    def forward(self, mels):
        return self.head(self.dropout(self.embed(mels)))


def build_classifier(settings, n_mels, emotions, seed):
    """A Classifier of crops of `n_mels` bands into `emotions` classes, its initial weights determined by `seed`, in
    channels_last layout."""
    torch.manual_seed(seed)
    return Classifier(settings, n_mels, emotions).to(memory_format=torch.channels_last)


@torch.inference_mode()
def evaluate(model, normalise, clips, frames, precision, embed=False, batch=128):
    """What `model` makes of every clip, the mean over the crops that cover it: logits `[clips, emotions]`, or
    embeddings `[clips, width]`, float32 on the CPU."""
    model.eval()
    function = model.embed if embed else model
    which, position = clips.covering(frames)
    outputs = []
    for some, places in zip(which.split(batch), position.split(batch)):
        mels = normalise(clips.crops(some, frames, places)).contiguous(memory_format=torch.channels_last)
        with autocast(which.device, precision):
            outputs.append(function(mels).float().cpu())
    return mean_over_crops(torch.cat(outputs), which.cpu())


def mean_over_crops(outputs, which):
    """The mean of `outputs` [crops, width] over the crops of each clip, `[clips, width]`; `which` [crops] numbers the
    clips, each of which has a crop."""
    count = which.bincount()
    return torch.zeros(len(count), outputs.shape[1]).index_add_(0, which, outputs) / count[:, None]
