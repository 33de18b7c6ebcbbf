"""A few clips of every emotion from the first fold, for the eye and the ear: evenly spread, not chosen by hand."""

from collections.abc import Sequence

import numpy as np

from ser.data import mel_store
from ser.data.dataset import Dataset

COUNT = 3  # clips per emotion
MelsByEmotion = dict[str, list[np.ndarray]]  # COUNT mels [n_mels, frames] in dB of each emotion


def real_mels(dataset: Dataset) -> MelsByEmotion:
    """Training clips of the first fold."""
    fold = dataset.folds[0]
    return {
        emotion: _evenly_spread(dataset.mels, [clip for clip in fold.train if dataset.emotion_of[clip] == emotion])
        for emotion in dataset.class_names
    }


def synthetic_mels(dataset: Dataset, generator: str) -> MelsByEmotion:
    """Clips that a generator made for the first fold."""
    fold, store = dataset.folds[0], mel_store.read(f"data/synthetic/{generator}")
    rows = store.index[(store.index["repeat"] == fold.repeat) & (store.index["fold"] == fold.fold)]
    return {
        emotion: _evenly_spread(store, list(rows["clip"][rows["emotion"] == emotion]))
        for emotion in dataset.class_names
    }


def _evenly_spread(store: mel_store.MelStore, clips: Sequence[str]) -> list[np.ndarray]:
    return [store.clip(clips[place * len(clips) // COUNT]) for place in range(COUNT)]
