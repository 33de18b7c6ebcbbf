"""ResNet-50 (He et al. 2016, arXiv 1512.03385)."""

from torch import nn

from ser.models import imagenet


def build(n_mels: int, frames: int, pretrained: bool) -> tuple[nn.Module, int]:
    return imagenet.resnet("resnet50", pretrained)
