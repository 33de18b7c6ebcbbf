"""Backbones, one file per architecture, found by its name (`classifier.arch` in params.yaml).

Each file has `build(n_mels, frames, pretrained)`: it takes the size of the mels and whether to load ImageNet weights,
and returns a network `[batch, 1, n_mels, frames]` to `[batch, width]`, and that width.
"""

from ser.core.errors import InputError


def refuse_pretrained(arch: str, pretrained: bool) -> None:
    """Raise InputError if ImageNet weights are requested for a backbone without any."""
    if pretrained:
        raise InputError(
            f"params.yaml: key `classifier.pretrained` is imagenet, but there are no such weights of `classifier.arch: "
            f"{arch}`; set it to none"
        )
