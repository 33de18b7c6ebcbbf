"""Every architecture in ser/models/backbones: shapes, gradients, determinism, and that it learns."""

import pkgutil

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from ser.models import backbones
from ser.models.backbones import cnn_transformer
from ser.models.classifier import ClassifierSettings, build_classifier

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


def build(arch, n_mels, frames, seed=0, emotions=3):
    settings = ClassifierSettings(arch=arch, pretrained="none", frames=frames, resize=None, dropout=0.0)
    return build_classifier(settings, n_mels, emotions, seed)


def noise(*size):
    mels = torch.randn(*size, generator=torch.Generator().manual_seed(0))
    return mels.contiguous(memory_format=torch.channels_last)


def test_every_file_is_tested():
    assert {module.name for module in pkgutil.iter_modules(backbones.__path__)} == set(WIDTHS)


@every_arch
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_an_embedding_of_the_width_that_it_says(arch, size):
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


def learnt(arch, seed=0, steps=12):
    """A classifier trained on noise in which another band of mels is louder in each class, and that noise."""
    emotion = torch.arange(24) % 3
    mels = noise(24, 1, 32, 32)
    for number in range(3):
        mels[emotion == number, :, 10 * number : 10 * number + 8] += 2
    model = build(arch, 32, 32, seed).train()
    torch.manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), 0.001)
    for _ in range(steps):
        loss = F.cross_entropy(model(mels), emotion)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model, mels, emotion, loss.item()


@every_arch
def test_learns_classes_that_differ_in_their_bands(arch):
    model, mels, emotion, _ = learnt(arch)
    with torch.inference_mode():
        assert (model(mels).argmax(1) == emotion).float().mean() > 0.9


@every_arch
def test_learns_the_same_again(arch):
    (first, *_, loss), (second, *_, loss_again) = (learnt(arch, steps=2) for _ in range(2))
    assert loss == loss_again
    weights = second.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in first.state_dict().items())


@every_arch
def test_the_seed_determines_the_initial_weights(arch):
    first = build(arch, 32, 32, seed=5).state_dict()
    torch.rand(3)
    again, other = (build(arch, 32, 32, seed=seed).state_dict() for seed in (5, 6))
    assert all(torch.equal(weight, again[name]) for name, weight in first.items())
    assert any(not torch.equal(weight, other[name]) for name, weight in first.items())


@pytest.mark.parametrize("network", ["resnet18", "resnet50"])
def test_a_resnet_starts_as_it_always_has(network):
    """Trained classifiers were drawn in this order and are stored under these names."""
    torch.manual_seed(7)
    net = models.get_model(network)
    net.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    width, net.fc = net.fc.in_features, nn.Identity()
    head = nn.Linear(width, 6)
    expected = nn.ModuleDict({"body": net, "head": head}).state_dict()
    weights = build(network, 80, 128, seed=7, emotions=6).state_dict()
    assert list(weights) == list(expected)
    assert all(torch.equal(weight, expected[name]) for name, weight in weights.items())


@pytest.mark.parametrize("frames", [32, 128, 300])
def test_the_transformer_sees_a_step_every_eight_frames_and_their_order(frames):
    body, _ = cnn_transformer.build(32, frames, False)
    seen = []
    body.transformer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    body.eval()(noise(1, 1, 32, frames))
    assert seen[0].shape == (1, -(-frames // 8), cnn_transformer.WIDTH)
    tokens = torch.randn(1, cnn_transformer.WIDTH, 1, 9)
    body.features = nn.Identity()
    with torch.no_grad():
        assert not torch.allclose(body(tokens), body(tokens.flip(3)), atol=0.01)
        alike = (body.transformer(some.mean(2).transpose(1, 2)).mean(1) for some in (tokens, tokens.flip(3)))
        torch.testing.assert_close(*alike)


def test_every_place_in_time_has_its_own_position():
    places = cnn_transformer.positions(2000, "cpu")
    assert places.shape == (2000, cnn_transformer.WIDTH)
    torch.testing.assert_close(places.square().sum(1), torch.full((2000,), cnn_transformer.WIDTH / 2))
    assert (torch.cdist(places, places) + torch.eye(2000) * 100).min() > 0.5
