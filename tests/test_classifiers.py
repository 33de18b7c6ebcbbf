from pathlib import Path, PurePosixPath
from urllib.error import URLError
from urllib.parse import urlparse

import pytest
import torch
from torchvision import models

from ser import classifiers
from ser.errors import InputError

SETTINGS = classifiers.ClassifierSettings(
    arch="resnet18", pretrained="none", frames=32, resize=None, dropout=0.5
)
MELS = torch.randn(3, 1, 16, 32, generator=torch.Generator().manual_seed(0))


def build(seed=0, **change):
    return classifiers.build(SETTINGS.model_copy(update=change), 6, seed)


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first) and first.keys() == second.keys()


@pytest.mark.parametrize(("arch", "width"), [("resnet18", 512), ("resnet50", 2048)])
def test_a_logit_an_emotion_and_an_embedding(arch, width):
    model = build(arch=arch).eval()
    with torch.inference_mode():
        embedding, logits = model.embed(MELS), model(MELS)
        torch.testing.assert_close(logits, model.head(embedding))
    assert embedding.shape == (3, width)
    assert logits.shape == (3, 6)
    assert logits.dtype == torch.float32


def test_the_seed_determines_the_initial_weights():
    first = build(seed=5).state_dict()
    torch.rand(10)
    assert same(first, build(seed=5).state_dict())
    assert same(first, build(seed=5, dropout=0.0).state_dict())
    assert not same(first, build(seed=6).state_dict())


def test_dropout_is_before_the_last_layer_and_only_in_training():
    model = build(dropout=0.9)
    model.body = torch.nn.Flatten()
    model.head = torch.nn.Identity()
    torch.manual_seed(0)
    assert 0.85 < (model.train()(MELS) == 0).double().mean() < 0.95
    torch.testing.assert_close(model.eval()(MELS), MELS.flatten(1))


@pytest.mark.parametrize(("resize", "seen"), [(None, (16, 32)), (24, (24, 24))])
def test_crops_are_resized_where_asked_for(resize, seen):
    model = build(resize=resize).eval()
    shapes = []
    model.body.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    with torch.inference_mode():
        model(MELS)
        model(torch.ones_like(MELS))
    assert shapes == [(3, 1, *seen)] * 2


def test_resizing_keeps_what_is_constant():
    model = build(resize=7)
    model.body = torch.nn.Identity()
    torch.testing.assert_close(model.embed(torch.full((1, 1, 16, 32), 2.5)), torch.full((1, 1, 7, 7), 2.5))


# Evaluation


@pytest.fixture
def clips(toy):
    """More ragged clips than a batch, shorter and longer than a crop, in no order."""
    return toy.clips(toy.folds[0].train[::-1], "cpu")


def test_evaluation_keeps_the_order_and_uses_centre_crops(clips):
    normalise = clips.normaliser()
    model = torch.nn.Identity()
    outputs = classifiers.evaluate(model, normalise, clips, 20, "fp32", batch=5)
    centre = clips.crops(torch.arange(len(clips)), 20, 0.5)
    assert torch.equal(outputs, normalise(centre))
    assert not model.training


def test_evaluation_does_not_depend_on_the_batch(clips):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(1), torch.nn.Flatten(), torch.nn.Linear(8 * 20, 3))
    one, many = (
        classifiers.evaluate(model, clips.normaliser(), clips, 20, "fp32", batch=batch)
        for batch in (1, 128)
    )
    torch.testing.assert_close(one, many)
    assert one.shape == (len(clips), 3)


def test_evaluation_in_bf16_returns_single_precision(clips):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8 * 20, 3))
    rough, exact = (
        classifiers.evaluate(model, clips.normaliser(), clips, 20, precision)
        for precision in ("bf16", "fp32")
    )
    assert rough.dtype == exact.dtype == torch.float32
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, atol=0.05, rtol=0.05)


# Pretrained weights


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """torch.hub without a network: its empty folder of weights and the name of the file it would fetch."""

    def unreachable(*_, **__):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    url = models.ResNet18_Weights.DEFAULT.url
    return tmp_path / "hub/checkpoints" / PurePosixPath(urlparse(url).path).name


def test_pretrained_weights_are_taken_over_and_the_stem_sums_the_colours(hub):
    torch.manual_seed(1)
    published = models.resnet18(weights=None).state_dict()
    hub.parent.mkdir(parents=True)
    torch.save(published, hub)
    body = build(pretrained="imagenet").body.state_dict()
    stem = published.pop("conv1.weight")
    assert body["conv1.weight"].shape == (64, 1, 7, 7)
    torch.testing.assert_close(body.pop("conv1.weight"), stem.sum(1, keepdim=True))
    assert same(body, {name: weight for name, weight in published.items() if not name.startswith("fc.")})
    grey = torch.rand(2, 1, 20, 20)
    seen = torch.nn.functional.conv2d(grey.expand(-1, 3, -1, -1), stem)
    torch.testing.assert_close(
        torch.nn.functional.conv2d(grey, stem.sum(1, keepdim=True)), seen, atol=1e-4, rtol=0
    )


def test_without_a_network_key_address_and_folder_are_named(hub):
    with pytest.raises(InputError) as error:
        build(pretrained="imagenet")
    message = str(error.value)
    assert message.startswith(
        "params.yaml: `classifier.pretrained: imagenet` needs https://download.pytorch.org/"
    )
    assert "no network" in message
    assert f"put that file into {hub.parent}, or set `classifier.pretrained: none`" in message
    assert hub.name in message
    assert not Path(hub).exists()
