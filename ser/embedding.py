"""Emotion embeddings: what a fold's own baseline classifier makes of that fold's training clips, as the condition for
generators (Kim & Lee 2024, section 3: the penultimate layer of the emotion classifier)."""

import torch

from ser import classifiers, store
from ser.batches import Normaliser


def features(fold, clips, classifier, emotions, precision, model="models/arms/baseline"):
    """Penultimate features `[clips, width]` by the fold's classifier; refuses a classifier trained on other clips."""
    tensors = store.load(model, fold)
    normalise = Normaliser(tensors.pop("mean").to(clips.start.device), tensors.pop("std").to(clips.start.device))
    untrained = classifier.model_copy(update={"pretrained": "none"})
    net = classifiers.build(untrained, len(normalise.mean), emotions, seed=0).to(clips.start.device)
    net.load_state_dict(tensors)
    return classifiers.evaluate(net, normalise, clips, classifier.frames, precision, embed=True)


def standardise(features):
    """Zero mean and unit variance in every dimension over the training clips."""
    return (features - features.mean(0)) / features.std(0).clamp(min=1e-6)


def centroids(features, emotion, emotions):
    """The mean embedding of each emotion, `[emotions, width]`."""
    return torch.stack([features[emotion == number].mean(0) for number in range(emotions)])


def vary(features, centroid, count, spread, generator):
    """`count` conditions `[count, width]` around an emotion's `centroid`: Gaussian with `spread` times the standard
    deviation, and the same correlations, as that emotion's training clips `features` [n, width] have."""
    residuals = features - centroid
    weights = torch.randn(count, len(residuals), generator=generator) / len(residuals) ** 0.5
    return centroid + spread * weights @ residuals
