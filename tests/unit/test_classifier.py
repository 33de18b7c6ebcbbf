import hashlib
import io
from email.message import Message
from types import SimpleNamespace
from urllib.error import URLError
from urllib.response import addinfourl

import pytest
import torch
from torch import nn
from torchvision import models

from ser.core import params
from ser.core.errors import InputError
from ser.data.clips import Normaliser
from ser.models.classifier import ClassifierConfig, build_classifier, evaluate

CONFIG = ClassifierConfig(arch="resnet18", pretrained="none", frames=32, resize=None, dropout=0.5)
MELS = torch.randn(3, 1, 16, 32, generator=torch.Generator().manual_seed(0))


def build(seed=0, **change):
    return build_classifier(CONFIG.model_copy(update=change), Normaliser.blank(16), 6, seed)


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first) and first.keys() == second.keys()


def test_a_logit_per_class_and_an_embedding():
    model = build().eval()
    with torch.inference_mode():
        embedding, logits = model.embed(MELS), model(MELS)
        torch.testing.assert_close(logits, model.head(embedding))
    assert embedding.shape == (3, 512)
    assert logits.shape == (3, 6)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("resnet81", "there is no ser/models/backbones/resnet81.py, did you mean `resnet18`?, found 'resnet81'"),
        (
            "wavenet9000",
            "there is no ser/models/backbones/wavenet9000.py, known are cnn, cnn_statistics, cnn_transformer, ",
        ),
        ("../errors", "there is no ser/models/backbones/../errors.py, known are "),
        ("__init__", "there is no ser/models/backbones/__init__.py, known are "),
    ],
)
def test_an_architecture_without_a_file_is_refused(arch, message):
    with pytest.raises(InputError, match=r"^params.yaml: key `classifier.arch`: ") as error:
        params.check(CONFIG.model_dump() | {"arch": arch}, ClassifierConfig, "classifier")
    assert message in str(error.value)


def test_the_seed_determines_the_initial_weights():
    first = build(seed=5).state_dict()
    torch.rand(10)
    assert same(first, build(seed=5).state_dict())
    assert same(first, build(seed=5, dropout=0.0).state_dict())
    assert not same(first, build(seed=6).state_dict())


def test_dropout_is_before_the_last_layer_and_only_in_training():
    model = build(dropout=0.9)
    model.backbone = torch.nn.Flatten()
    model.head = torch.nn.Identity()
    torch.manual_seed(0)
    assert 0.85 < (model.train()(MELS) == 0).double().mean() < 0.95
    torch.testing.assert_close(model.eval()(MELS), MELS.flatten(1))


@pytest.mark.parametrize(("resize", "seen"), [(None, (16, 32)), (24, (24, 24))])
def test_crops_are_resized_with_resize(resize, seen):
    model = build(resize=resize).eval()
    shapes = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: shapes.append(inputs[0].shape))
    with torch.inference_mode():
        model(MELS)
        model(torch.ones_like(MELS))
    assert shapes == [(3, 1, *seen)] * 2


@pytest.mark.parametrize(("resize", "size"), [(None, (16, 32)), (24, (24, 24))])
def test_a_backbone_is_built_for_the_size_of_its_input(monkeypatch, resize, size):
    built = []
    monkeypatch.setattr("ser.models.backbones.mlp.build", lambda *size: (built.append(size), (nn.Identity(), 1))[1])
    build(arch="mlp", resize=resize)
    assert built == [(*size, False)]


def test_resizing_keeps_what_is_constant():
    model = build(resize=7)
    model.backbone = torch.nn.Identity()
    torch.testing.assert_close(model.embed(torch.full((1, 1, 16, 32), 2.5)), torch.full((1, 1, 7, 7), 2.5))


# Evaluation


class Network(nn.Module):
    """Layers with the interface of a Classifier."""

    def __init__(self, clips, *layers):
        super().__init__()
        self.normaliser = clips.normaliser()
        self.layers = nn.Sequential(*layers)

    def forward(self, mels):
        return self.layers(mels)


@pytest.fixture
def clips(toy):
    """More clips than a batch, shorter and longer than a crop, in no order."""
    return toy.clips(toy.folds[0].train[::-1], "cpu")


def test_evaluation_keeps_the_order_and_averages_over_the_crops_that_cover_a_clip(clips):
    normaliser, model = clips.normaliser(), Network(clips, nn.Flatten())
    outputs = evaluate(model, clips, 8, "fp32", batch=5)
    for number, length in enumerate(clips.length.tolist()):
        count = -(-length // 8)
        places = torch.linspace(0, 1, count) if count > 1 else torch.tensor([0.5])
        crops = normaliser(clips.crops(torch.full((count,), number), 8, places))
        torch.testing.assert_close(outputs[number], crops.mean(0).flatten())
    assert len({-(-length // 8) for length in clips.length.tolist()}) > 1
    assert not model.training


def test_evaluation_does_not_depend_on_the_batch(clips):
    torch.manual_seed(0)
    model = Network(clips, nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(8 * 20, 3))
    one, many = (evaluate(model, clips, 20, "fp32", batch=batch) for batch in (1, 128))
    torch.testing.assert_close(one, many)
    assert one.shape == (len(clips), 3)


def test_evaluation_in_bf16_returns_single_precision(clips):
    torch.manual_seed(0)
    model = Network(clips, nn.Flatten(), nn.Linear(8 * 20, 3))
    rough, exact = (evaluate(model, clips, 20, precision) for precision in ("bf16", "fp32"))
    assert rough.dtype == exact.dtype == torch.float32
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, atol=0.05, rtol=0.05)


def test_evaluation_returns_logits_or_embeddings(clips):
    model = build_classifier(CONFIG.model_copy(update={"arch": "cnn"}), clips.normaliser(), 3, seed=0)
    embeddings = evaluate(model, clips, CONFIG.frames, "fp32", embed=True)
    assert embeddings.shape == (len(clips), model.head.in_features)
    with torch.inference_mode():
        torch.testing.assert_close(evaluate(model, clips, CONFIG.frames, "fp32"), model.head(embeddings))


# Pretrained weights


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """torch.hub with a folder of its own and without a network; returns that folder, not there yet."""

    def unreachable(*_, **__):
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    return tmp_path / "hub/checkpoints"


@pytest.fixture
def publish(monkeypatch):
    """A function that publishes random weights of a network under an address with their sha256, as torchvision does.

    It returns the weights, the bytes of their file and its name.
    """

    def publish(network):
        torch.manual_seed(1)
        weights = models.get_model(network).state_dict()
        torch.save(weights, file := io.BytesIO())
        name = f"{network}-{hashlib.sha256(file.getvalue()).hexdigest()[:8]}.pth"
        enum = SimpleNamespace(DEFAULT=SimpleNamespace(url=f"https://weights.test/{name}"))
        monkeypatch.setattr("torchvision.models.get_model_weights", {network: enum}.get)
        return weights, file.getvalue(), name

    return publish


@pytest.mark.parametrize(
    ("arch", "network", "prefix", "stem", "last"),
    [
        ("resnet18", "resnet18", "", "conv1", "fc."),
        ("resnet50", "resnet50", "", "conv1", "fc."),
        ("efficientnet_b0", "efficientnet_b0", "", "features.0.0", "classifier."),
        ("cnn_transformer", "resnet18", "features.", "conv1", ("fc.", "layer4.")),
    ],
)
def test_pretrained_weights_are_taken_over_and_the_stem_sums_the_colours(
    hub, publish, arch, network, prefix, stem, last
):
    published, content, name = publish(network)
    hub.mkdir(parents=True)
    (hub / name).write_bytes(content)
    expected = [weight for name, weight in published.items() if not name.startswith(last)]
    colours = published[f"{stem}.weight"]
    backbone = build(arch=arch, pretrained="imagenet").backbone.state_dict()
    # In order, as cnn_transformer numbers the layers; it ends with the third stage.
    taken = [weight for name, weight in backbone.items() if name.startswith(prefix)]
    assert len(taken) == len(expected)
    for ours, theirs in zip(taken, expected):
        assert torch.equal(ours, colours.sum(1, keepdim=True) if theirs is colours else theirs)
    grey = torch.rand(2, 1, 20, 20)
    seen = torch.nn.functional.conv2d(grey.expand(-1, 3, -1, -1), colours)
    torch.testing.assert_close(torch.nn.functional.conv2d(grey, colours.sum(1, keepdim=True)), seen, atol=1e-4, rtol=0)


def test_the_addresses_of_the_weights_contain_their_sha256():
    for network in ("resnet18", "resnet50", "efficientnet_b0"):
        assert torch.hub.HASH_REGEX.search(models.get_model_weights(network).DEFAULT.url)[1]


def test_weights_are_fetched_once(hub, publish, monkeypatch):
    _, content, name = publish("resnet18")

    requested = []

    def answer(request):
        requested.append(request.full_url)
        return addinfourl(io.BytesIO(content), Message(), request.full_url)

    monkeypatch.setattr("torch.hub.urlopen", answer)
    first, second = build(pretrained="imagenet"), build(pretrained="imagenet")
    assert same(first.state_dict(), second.state_dict())
    assert requested == [f"https://weights.test/{name}"]
    assert (hub / name).read_bytes() == content


def test_without_a_network_key_address_and_folder_are_named(hub):
    with pytest.raises(InputError) as error:
        build(pretrained="imagenet")
    message = str(error.value)
    assert message.startswith("params.yaml: `classifier.pretrained: imagenet` needs https://download.pytorch.org/")
    assert "no network" in message
    assert f"put that file into {hub}, or set `classifier.pretrained: none`" in message
    assert models.ResNet18_Weights.DEFAULT.url in message
    assert not list(hub.iterdir())


@pytest.mark.parametrize("kept", [0, 1000, -1])
def test_damaged_weights_are_named_and_not_read(hub, publish, kept):
    _, content, name = publish("resnet18")
    hub.mkdir(parents=True)
    (hub / name).write_bytes(content[:kept])
    with pytest.raises(InputError) as error:
        build(pretrained="imagenet")
    assert str(error.value).startswith(f"{hub / name} is damaged: ")
    assert "remove it" in str(error.value)


@pytest.mark.parametrize("arch", ["cnn", "mlp"])
def test_architectures_without_published_weights_name_the_key(hub, arch):
    message = f"key `classifier.pretrained` is imagenet, but there are no such weights of `classifier.arch: {arch}`"
    with pytest.raises(InputError, match=message):
        build(arch=arch, pretrained="imagenet")
