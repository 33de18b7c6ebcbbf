"""Classifiers: mel spectrograms `[batch, 1, mels, frames]` in, one logit an emotion out."""

from typing import Literal
from urllib.error import URLError

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F
from torchvision import models

from ser import compute
from ser.errors import InputError
from ser.params import Section


class ClassifierSettings(Section):
    arch: Literal["resnet18", "resnet50"]
    pretrained: Literal["none", "imagenet"]
    frames: int = Field(gt=0)
    resize: int | None = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)


class Classifier(nn.Module):
    """A body that turns a spectrogram into an embedding, then dropout and one linear layer."""

    def __init__(self, settings, emotions):
        super().__init__()
        self.resize = settings.resize
        self.body, width = _BODIES[settings.arch](settings.arch, settings.pretrained == "imagenet")
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(width, emotions)

    def embed(self, mels):
        """The penultimate features `[batch, width]` of normalised mels `[batch, 1, n_mels, frames]`."""
        if self.resize:
            mels = F.interpolate(mels, (self.resize, self.resize), mode="bilinear", antialias=True)
        return self.body(mels)

    def forward(self, mels):
        return self.head(self.dropout(self.embed(mels)))


def build(settings, emotions, seed):
    """A Classifier for `emotions` classes, its initial weights determined by `seed`, in channels_last layout."""
    torch.manual_seed(seed)
    return Classifier(settings, emotions).to(memory_format=torch.channels_last)


@torch.inference_mode()
def evaluate(model, normalise, clips, frames, precision, embed=False, batch=128):
    """What `model` makes of the centre crop of every clip: logits `[clips, emotions]`, or embeddings `[clips, width]`,
    float32 on the CPU."""
    model.eval()
    function = model.embed if embed else model
    device = clips.start.device
    outputs = []
    for which in torch.arange(len(clips), device=device).split(batch):
        mels = normalise(clips.crops(which, frames, 0.5)).contiguous(memory_format=torch.channels_last)
        with compute.autocast(device, precision):
            outputs.append(function(mels).float().cpu())
    return torch.cat(outputs)


def _resnet(name, pretrained):
    net = _torchvision(name, pretrained)
    stem = net.conv1
    net.conv1 = nn.Conv2d(1, stem.out_channels, stem.kernel_size, stem.stride, stem.padding, bias=False)
    if pretrained:
        net.conv1.weight.data = stem.weight.data.sum(dim=1, keepdim=True)
    width, net.fc = net.fc.in_features, nn.Identity()
    return net, width


def _torchvision(name, pretrained):
    weights = models.get_model_weights(name).DEFAULT if pretrained else None
    try:
        return models.get_model(name, weights=weights)
    except (URLError, ConnectionError, TimeoutError) as error:
        raise InputError(
            f"params.yaml: `classifier.pretrained: imagenet` needs {weights.url}, which cannot be fetched ({error}); "
            f"put that file into {torch.hub.get_dir()}/checkpoints, or set `classifier.pretrained: none`"
        ) from None


_BODIES = {"resnet18": _resnet, "resnet50": _resnet}
