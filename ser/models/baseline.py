"""Emotion embeddings: what a fold's own baseline classifier makes of that fold's training clips, as the condition for
generators (Kim & Lee 2024, section 3: the penultimate layer of the emotion classifier); and which drawn clips it
recognises."""

import torch

from ser.core import checkpoints
from ser.data.clips import Normaliser, clips_from_mels
from ser.models.classifier import build_classifier, evaluate


def classifier(fold, settings, emotions, device, model="models/arms/baseline"):
    """The fold's classifier and its Normaliser on `device`; refuses a classifier trained on other clips."""
    tensors = checkpoints.load(model, fold)
    normalise = Normaliser(tensors.pop("mean").to(device), tensors.pop("std").to(device))
    untrained = settings.model_copy(update={"pretrained": "none"})
    net = build_classifier(untrained, len(normalise.mean), emotions, seed=0).to(device)
    net.load_state_dict(tensors)
    return net, normalise


def features(fold, clips, settings, emotions, precision):
    """Penultimate features `[clips, width]` by the fold's classifier."""
    net, normalise = classifier(fold, settings, emotions, clips.start.device)
    return evaluate(net, normalise, clips, settings.frames, precision, embed=True)


def recogniser(fold, settings, emotions, precision, device):
    """A function of mels `[clips, n_mels, frames]` in dB and the number of an emotion: those of the mels that the
    fold's classifier recognises as that emotion, in the same order."""
    net, normalise = classifier(fold, settings, emotions, device)

    def recognised(mels, emotion):
        clips = clips_from_mels(mels.to(device), torch.full((len(mels),), emotion, device=device))
        logits = evaluate(net, normalise, clips, settings.frames, precision)
        return mels[logits.argmax(1) == emotion]

    return recognised


def standardise(features):
    """Zero mean and unit variance in every dimension over the training clips."""
    return (features - features.mean(0)) / features.std(0).clamp(min=1e-6)


def centroids(features, emotion, emotions):
    """The mean embedding of each emotion, `[emotions, width]`."""
    return torch.stack([features[emotion == number].mean(0) for number in range(emotions)])
