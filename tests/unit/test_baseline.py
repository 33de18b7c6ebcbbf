import pytest
import torch

from ser.core import checkpoints
from ser.core.errors import InputError
from ser.models import baseline
from ser.models.classifier import ClassifierSettings, build_classifier

CLASSIFIER = ClassifierSettings(arch="resnet18", pretrained="none", frames=16, resize=None, dropout=0.5)


@pytest.fixture
def clips(toy):
    return toy.clips(toy.folds[0].train[:5], "cpu")


def save(model, normalise, training):
    tensors = {f"0-0/{name}": tensor for name, tensor in (model.state_dict() | normalise.tensors()).items()}
    checkpoints.save("models/arms/baseline", tensors, {"units": {"0-0": {"training": training}}})


def test_features_are_the_penultimate_layer_of_the_folds_own_classifier(toy, clips):
    model = build_classifier(CLASSIFIER, 8, 3, seed=4)
    save(model, clips.normaliser(), toy.folds[0].training_digest)
    features = baseline.features(toy.folds[0], clips, CLASSIFIER, 3, "fp32")
    with torch.inference_mode():
        which, position = clips.covering(16)
        embeddings = model.eval().embed(clips.normaliser()(clips.crops(which, 16, position)))
        expected = torch.stack([embeddings[which == number].mean(0) for number in range(5)])
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-3)


def test_pretrained_weights_are_not_fetched_again(toy, clips, monkeypatch):
    save(build_classifier(CLASSIFIER, 8, 3, seed=4), clips.normaliser(), toy.folds[0].training_digest)
    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: pytest.fail("fetched"))
    pretrained = CLASSIFIER.model_copy(update={"pretrained": "imagenet"})
    features = baseline.features(toy.folds[0], clips, pretrained, 3, "fp32")
    assert torch.equal(features, baseline.features(toy.folds[0], clips, CLASSIFIER, 3, "fp32"))


def test_a_classifier_that_learnt_from_other_clips_is_refused(toy, clips):
    save(build_classifier(CLASSIFIER, 8, 3, seed=4), clips.normaliser(), toy.folds[1].training_digest)
    with pytest.raises(
        InputError, match=r"^models/arms/baseline was not made from the training part of repeat 0 fold 0"
    ):
        baseline.features(toy.folds[0], clips, CLASSIFIER, 3, "fp32")


def test_standardised_features(clips):
    features = 5 * torch.randn(20, 4, generator=torch.Generator().manual_seed(0)) + 3
    features[:, 2] = 1
    standard = baseline.standardise(features)
    torch.testing.assert_close(standard.mean(0), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(standard.std(0), torch.tensor([1.0, 1, 0, 1]))


def test_centroids_are_the_mean_of_each_emotion():
    features = torch.tensor([[1.0, 0], [3, 0], [0, 8]])
    centroids = baseline.centroids(features, torch.tensor([1, 1, 0]), 2)
    assert centroids.tolist() == [[0, 8], [2, 0]]
