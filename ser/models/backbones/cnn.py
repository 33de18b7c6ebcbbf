"""A small CNN: four blocks of convolution and pooling, then the mean over time and frequency."""

from torch import nn

from ser.models import imagenet

CHANNELS = (32, 64, 128, 256)


def build(n_mels: int, frames: int, pretrained: bool) -> tuple[nn.Module, int]:
    imagenet.refuse_pretrained("cnn", pretrained)
    blocks = [block(inputs, outputs) for inputs, outputs in zip((1, *CHANNELS), CHANNELS)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()), CHANNELS[-1]


def block(inputs: int, outputs: int) -> nn.Module:
    """A convolution from `inputs` to `outputs` channels, then pooling."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
    )
