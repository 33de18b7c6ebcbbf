"""Every architecture in ser/models/backbones: shapes, gradients and initial weights; tests/integration trains them."""

import pkgutil

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from ser.data.clips import Normaliser
from ser.models import backbones
from ser.models.backbones import cnn_transformer
from tests.helpers.networks import build, noise

WIDTHS = {
    "cnn": 256,
    "cnn_statistics": 256,
    "cnn_transformer": 256,
    "efficientnet_b0": 1280,
    "mlp": 256,
    "resnet18": 512,
    "resnet50": 2048,
}
SIZES = [(32, 32), (80, 128), (128, 300), (80, 861), (224, 224)]

every_arch = pytest.mark.parametrize("arch", WIDTHS)


def test_every_file_is_tested():
    assert {module.name for module in pkgutil.iter_modules(backbones.__path__)} == set(WIDTHS)


@every_arch
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_the_embedding_has_the_declared_width(arch, size):
    model = build(arch, *size).eval()
    with torch.inference_mode():
        embedding = model.embed(noise(2, 1, *size))
        assert embedding.shape == (2, WIDTHS[arch]) == (2, model.head.in_features)
        assert embedding.isfinite().all()
        assert not torch.equal(embedding[0], embedding[1])


@every_arch
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_every_parameter_has_a_gradient_from_a_batch_of_two(arch, precision):
    torch.manual_seed(0)
    model = build(arch, 32, 32).train()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        logits = model(noise(2, 1, 32, 32))
    F.cross_entropy(logits.float(), torch.tensor([0, 1])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    assert all(parameter.grad.any() for parameter in model.head.parameters())


@every_arch
def test_the_seed_determines_the_initial_weights(arch):
    first = build(arch, 32, 32, seed=5).state_dict()
    torch.rand(3)
    again, other = (build(arch, 32, 32, seed=seed).state_dict() for seed in (5, 6))
    assert all(torch.equal(weight, again[name]) for name, weight in first.items())
    assert any(not torch.equal(weight, other[name]) for name, weight in first.items())


@pytest.mark.parametrize("network", ["resnet18", "resnet50"])
def test_a_resnet_starts_as_it_always_has(network):
    """Initial weights are drawn in this order, and trained classifiers are stored under these names."""
    torch.manual_seed(7)
    net = models.get_model(network)
    net.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    width, net.fc = net.fc.in_features, nn.Identity()
    head = nn.Linear(width, 6)
    expected = nn.ModuleDict({"normaliser": Normaliser.blank(80), "backbone": net, "head": head}).state_dict()
    weights = build(network, 80, 128, seed=7, n_classes=6).state_dict()
    assert list(weights) == list(expected)
    assert all(torch.equal(weight, expected[name]) for name, weight in weights.items())


@pytest.mark.parametrize("frames", [32, 128, 300])
def test_the_transformer_sees_a_step_every_eight_frames_and_their_order(frames):
    backbone, _ = cnn_transformer.build(32, frames, False)
    seen = []
    backbone.transformer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    backbone.eval()(noise(1, 1, 32, frames))
    assert seen[0].shape == (1, -(-frames // 8), cnn_transformer.WIDTH)
    tokens = torch.randn(1, cnn_transformer.WIDTH, 1, 9)
    backbone.features = nn.Identity()
    with torch.no_grad():
        assert not torch.allclose(backbone(tokens), backbone(tokens.flip(3)), atol=0.01)
        unordered = (backbone.transformer(each.mean(2).transpose(1, 2)).mean(1) for each in (tokens, tokens.flip(3)))
        torch.testing.assert_close(*unordered)


def test_every_step_has_a_position_of_its_own():
    positions = cnn_transformer.positions(2000, "cpu")
    assert positions.shape == (2000, cnn_transformer.WIDTH)
    torch.testing.assert_close(positions.square().sum(1), torch.full((2000,), cnn_transformer.WIDTH / 2))
    assert (torch.cdist(positions, positions) + torch.eye(2000) * 100).min() > 0.5
