"""Networks of torchvision for spectrograms, with random weights or weights pretrained on ImageNet.

torchvision is imported where it is used: that takes a second, and most backbones do without.
"""

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import URLError

import torch
from torch import nn

from ser.core.errors import InputError


def load(name: str, pretrained: bool) -> Any:
    """The unchanged network `name` of torchvision, of its own class.

    The published weights are downloaded once to torch.hub's folder. Raises InputError where they cannot be downloaded,
    or where the file is not the published one.
    """
    from torchvision.models import get_model

    network = get_model(name)
    if pretrained:
        network.load_state_dict(torch.load(_published_weights(name), weights_only=True))
    return network


def resnet(name: str, pretrained: bool) -> tuple[Any, int]:
    """A torchvision ResNet with one input channel and without its last layer, and the width of its embedding."""
    network = load(name, pretrained)
    network.conv1 = one_channel(network.conv1, pretrained)
    width, network.fc = network.fc.in_features, nn.Identity()
    return network, width


def one_channel(stem: nn.Conv2d, pretrained: bool) -> nn.Conv2d:
    """The first convolution `stem` for spectrograms; if pretrained, its output is that of the stem for grey images."""
    conv = nn.Conv2d(1, stem.out_channels, stem.kernel_size, stem.stride, stem.padding, bias=False)  # type: ignore[arg-type]
    if pretrained:
        conv.weight.data = stem.weight.data.sum(dim=1, keepdim=True)
    return conv


def refuse_pretrained(arch: str, pretrained: bool) -> None:
    """Raise InputError if ImageNet weights are requested for a backbone without any."""
    if pretrained:
        raise InputError(
            f"params.yaml: key `classifier.pretrained` is imagenet, but there are no such weights of `classifier.arch: "
            f"{arch}`; set it to none"
        )


def _published_weights(name: str) -> Path:
    """The downloaded file of weights, whose name ends in the first digits of its sha256."""
    from torchvision.models import get_model_weights

    url = get_model_weights(name).DEFAULT.url
    path = Path(torch.hub.get_dir(), "checkpoints", PurePosixPath(url).name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path))
        except (URLError, ConnectionError, TimeoutError) as error:
            raise InputError(
                f"params.yaml: `classifier.pretrained: imagenet` needs {url}, which cannot be downloaded ({error}); "
                f"put that file into {path.parent}, or set `classifier.pretrained: none`"
            ) from None
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(path.stem.rpartition("-")[2]):
        raise InputError(f"{path} is damaged: its sha256 is not the one in its name; remove it to download it again")
    return path
