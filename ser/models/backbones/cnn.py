"""A small CNN: four blocks of convolution and pooling, then the mean over what is left of time and frequency."""

from torch import nn

from ser.models import imagenet

CHANNELS = (32, 64, 128, 256)


def build(n_mels, frames, pretrained):
    imagenet.refuse("cnn", pretrained)
    blocks = [block(before, after) for before, after in zip((1, *CHANNELS), CHANNELS)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()), CHANNELS[-1]


def block(before, after):
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
    )
