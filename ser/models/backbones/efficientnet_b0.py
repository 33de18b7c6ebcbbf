"""EfficientNet-B0 (Tan & Le 2019, arXiv 1905.11946)."""

from torch import nn

from ser.models import imagenet


def build(n_mels, frames, pretrained):
    net = imagenet.network("efficientnet_b0", pretrained)
    stem = net.features[0]
    stem[0] = imagenet.one_channel(stem[0], pretrained)
    width, net.classifier = net.classifier[-1].in_features, nn.Identity()
    return net, width
