"""The baseline classifier of a fold: its embeddings, and which clips it recognises.

The penultimate features of the training clips condition the generators (Kim & Lee 2024, section 3).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ser.core import checkpoints
from ser.core.device import Precision
from ser.core.fold import Fold, Run
from ser.data.clips import Clips, Normaliser, clips_from_mels
from ser.models.classifier import Classifier, ClassifierConfig, build_classifier, evaluate

PATH = "models/arms/baseline"


def load(fold: Fold, config: ClassifierConfig, n_classes: int, device: torch.device, run: int = 0) -> Classifier:
    """The baseline of `fold` on `device`, of the first run by default.

    Raises InputError for a classifier that was trained on other clips.
    """
    state = checkpoints.load(PATH, Run.of(fold, run))
    model = build_classifier(config.untrained(), Normaliser.from_state(state), n_classes, seed=0).to(device)
    model.load_state_dict(state)
    return model


def recognised(
    model: Classifier, mels: Sequence[Tensor], label: int, config: ClassifierConfig, precision: Precision
) -> list[Tensor]:
    """Those of the mels `[n_mels, frames]` in dB that the model recognises as the class `label`, in order."""
    clips = clips_from_mels(mels, torch.full((len(mels),), label, device=model.normaliser.mean.device))
    predicted = evaluate(model, clips, config.frames, precision).argmax(1)
    return [mel for mel, own in zip(mels, predicted == label, strict=True) if own]


def embeddings(model: Classifier, clips: Clips, config: ClassifierConfig, precision: Precision) -> Tensor:
    """Penultimate features `[clips, width]`, standardised to zero mean and unit variance over these clips."""
    features = evaluate(model, clips, config.frames, precision, embed=True)
    return (features - features.mean(0)) / features.std(0).clamp(min=1e-6)


def centroids(embeddings: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """The mean embedding of each class, `[classes, width]`."""
    return torch.stack([embeddings[labels == label].mean(0) for label in range(n_classes)])
