import pytest
import torch

from ser.core import checkpoints
from ser.core.errors import InputError
from ser.models import baseline
from ser.models.classifier import ClassifierConfig, build_classifier, evaluate

CLASSIFIER = ClassifierConfig(arch="resnet18", pretrained="none", frames=16, resize=None, dropout=0.5)


@pytest.fixture
def clips(toy):
    return toy.clips(toy.folds[0].train[:5], "cpu")


def save(model, train_digest):
    tensors = {f"0-0-0/{name}": tensor for name, tensor in model.state_dict().items()}
    checkpoints.save(baseline.PATH, tensors, {"folds": {"0-0-0": {"train_digest": train_digest}}})


def embeddings(fold, clips, config=CLASSIFIER):
    return baseline.embeddings(baseline.load(fold, config, 3, "cpu"), clips, config, "fp32")


def standardised(features):
    return (features - features.mean(0)) / features.std(0).clamp(min=1e-6)


def test_embeddings_are_the_standardised_penultimate_layer_of_the_folds_own_classifier(toy, clips):
    model = build_classifier(CLASSIFIER, clips.normaliser(), 3, seed=4)
    save(model, toy.folds[0].train_digest)
    with torch.inference_mode():
        clip_index, position = clips.covering(16)
        features = model.eval().embed(clips.normaliser()(clips.crops(clip_index, 16, position)))
        expected = torch.stack([features[clip_index == number].mean(0) for number in range(5)])
    torch.testing.assert_close(embeddings(toy.folds[0], clips), standardised(expected), atol=1e-4, rtol=1e-3)


def test_pretrained_weights_are_not_fetched_again(toy, clips, monkeypatch):
    save(build_classifier(CLASSIFIER, clips.normaliser(), 3, seed=4), toy.folds[0].train_digest)
    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: pytest.fail("fetched"))
    pretrained = CLASSIFIER.model_copy(update={"pretrained": "imagenet"})
    assert torch.equal(embeddings(toy.folds[0], clips, pretrained), embeddings(toy.folds[0], clips))


def test_a_classifier_that_was_trained_on_other_clips_is_refused(toy, clips):
    save(build_classifier(CLASSIFIER, clips.normaliser(), 3, seed=4), toy.folds[1].train_digest)
    with pytest.raises(
        InputError, match=r"^models/arms/baseline was not made from the training part of repeat 0 fold 0"
    ):
        baseline.load(toy.folds[0], CLASSIFIER, 3, "cpu")


def test_embeddings_have_zero_mean_and_unit_variance(monkeypatch):
    features = 5 * torch.randn(20, 4, generator=torch.Generator().manual_seed(0)) + 3
    features[:, 2] = 1
    monkeypatch.setattr(baseline, "evaluate", lambda *_, **__: features)
    embeddings = baseline.embeddings(None, None, CLASSIFIER, "fp32")
    torch.testing.assert_close(embeddings.mean(0), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(embeddings.std(0), torch.tensor([1.0, 1, 0, 1]))


def test_only_mels_of_the_given_class_are_recognised_whatever_their_lengths(clips):
    model = build_classifier(CLASSIFIER, clips.normaliser(), 3, seed=4)
    _, mels = clips.pieces(100)
    assert len({mel.shape[1] for mel in mels}) > 1
    labels = evaluate(model, clips, CLASSIFIER.frames, "fp32").argmax(1).tolist()
    for label in range(3):
        kept = baseline.recognised(model, mels, label, CLASSIFIER, "fp32")
        expected = [mel for mel, own in zip(mels, labels, strict=True) if own == label]
        assert [mel.shape for mel in kept] == [mel.shape for mel in expected]
        assert all(torch.equal(one, other) for one, other in zip(kept, expected, strict=True))


def test_centroids_are_the_mean_of_each_class():
    embeddings = torch.tensor([[1.0, 0], [3, 0], [0, 8]])
    centroids = baseline.centroids(embeddings, torch.tensor([1, 1, 0]), 2)
    assert centroids.tolist() == [[0, 8], [2, 0]]
