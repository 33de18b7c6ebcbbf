"""EfficientNet-B0 (Tan & Le 2019, arXiv 1905.11946)."""

from torch import nn

from ser.models import imagenet


def build(n_mels: int, frames: int, pretrained: bool) -> tuple[nn.Module, int]:
    network = imagenet.load("efficientnet_b0", pretrained)
    stem = network.features[0]
    stem[0] = imagenet.one_channel(stem[0], pretrained)
    width, network.classifier = network.classifier[-1].in_features, nn.Identity()
    return network, width
