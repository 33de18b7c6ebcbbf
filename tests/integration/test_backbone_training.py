"""Every architecture in ser/models/backbones learns, and learns the same again."""

import pkgutil

import pytest
import torch
from torch.nn import functional as F

from ser.models import backbones
from tests.helpers.networks import build, noise

every_arch = pytest.mark.parametrize("arch", [module.name for module in pkgutil.iter_modules(backbones.__path__)])


def trained(arch, seed=0, steps=12):
    """A classifier trained on noise in which other mel bands are louder in each class; with that noise."""
    labels = torch.arange(24) % 3
    mels = noise(24, 1, 32, 32)
    for label in range(3):
        mels[labels == label, :, 10 * label : 10 * label + 8] += 2
    model = build(arch, 32, 32, seed).train()
    torch.manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), 0.001)
    for _ in range(steps):
        loss = F.cross_entropy(model(mels), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model, mels, labels, loss.item()


@every_arch
def test_classes_that_differ_in_their_bands_are_learnt(arch):
    model, mels, labels, _ = trained(arch)
    with torch.inference_mode():
        assert (model(mels).argmax(1) == labels).float().mean() > 0.9


@every_arch
def test_the_same_is_learnt_again(arch):
    (first, *_, loss), (second, *_, loss_again) = (trained(arch, steps=2) for _ in range(2))
    assert loss == loss_again
    weights = second.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in first.state_dict().items())
