"""Backbones, one file per architecture, found by its name (`classifier.arch` in params.yaml).

Each file has `build(n_mels, frames, pretrained)`: it takes the size of the mels and whether to load ImageNet weights,
and returns a network `[batch, 1, n_mels, frames]` to `[batch, width]`, and that width.
"""
