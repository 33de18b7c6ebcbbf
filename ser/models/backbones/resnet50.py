"""ResNet-50 (He et al. 2016, arXiv 1512.03385)."""

from ser.models import imagenet


def build(n_mels, frames, pretrained):
    return imagenet.resnet("resnet50", pretrained)
