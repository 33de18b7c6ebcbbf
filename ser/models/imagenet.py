"""Networks of torchvision, their weights drawn or learnt on ImageNet, for spectrograms in place of pictures."""

import hashlib
from pathlib import Path, PurePosixPath
from urllib.error import URLError

import torch
from torch import nn
from torchvision import models

from ser.core.errors import InputError


def network(name, pretrained):
    """torchvision's network `name`, as it is.

    The published weights are fetched once into torch.hub's folder; raises InputError where they cannot be fetched and
    where the file there is another than the one published.
    """
    net = models.get_model(name)
    if pretrained:
        net.load_state_dict(torch.load(_published(name), weights_only=True))
    return net


def resnet(name, pretrained):
    """A ResNet of one input channel without its last layer, and the width of its embedding."""
    net = network(name, pretrained)
    net.conv1 = one_channel(net.conv1, pretrained)
    width, net.fc = net.fc.in_features, nn.Identity()
    return net, width


def one_channel(stem, pretrained):
    """The first convolution for spectrograms: one that was pretrained gives what it gave for grey pictures."""
    conv = nn.Conv2d(1, stem.out_channels, stem.kernel_size, stem.stride, stem.padding, bias=False)
    if pretrained:
        conv.weight.data = stem.weight.data.sum(dim=1, keepdim=True)
    return conv


def refuse(arch, pretrained):
    """Raise InputError where ImageNet weights are asked of an architecture that torchvision does not have."""
    if pretrained:
        raise InputError(
            f"params.yaml: key `classifier.pretrained` is imagenet, but there are no such weights of `classifier.arch: "
            f"{arch}`; set it to none"
        )


def _published(name):
    """The file of weights, whose name ends in the first digits of its sha256."""
    url = models.get_model_weights(name).DEFAULT.url
    path = Path(torch.hub.get_dir(), "checkpoints", PurePosixPath(url).name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, path)
        except (URLError, ConnectionError, TimeoutError) as error:
            raise InputError(
                f"params.yaml: `classifier.pretrained: imagenet` needs {url}, which cannot be fetched ({error}); put "
                f"that file into {path.parent}, or set `classifier.pretrained: none`"
            ) from None
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(path.stem.rpartition("-")[2]):
        raise InputError(f"{path} is damaged: its sha256 is not the one in its name; remove it, it is fetched again")
    return path
