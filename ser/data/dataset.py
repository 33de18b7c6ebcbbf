"""What every stage after `split` starts from: the real clips, their emotions and the checked folds."""

from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import torch

from ser.core.errors import InputError
from ser.data import manifest, mel_store, splits
from ser.data.clips import load_clips

FILES = ["data/catalogue.csv", "data/splits.csv", "data/mels/index.csv", "data/mels/frames.npy"]


@dataclass(frozen=True)
class Study:
    emotions: list[str]
    emotion: dict[str, str]  # clip -> emotion
    folds: list[splits.Fold]

    @cached_property
    def pack(self):
        return mel_store.read("data/mels")

    def clips(self, names, device):
        """Real clips as tensors, in the order of `names`."""
        return load_clips(self.pack, names, self.emotion, self.emotions, device)

    def predictions(self, fold, logits):
        """The table `repeat,fold,clip,emotion,predicted` and a probability an emotion, for the fold's test clips, from
        logits [clips, emotions]."""
        probabilities = pd.DataFrame(torch.softmax(logits, 1).double().numpy().round(6), columns=self.emotions)
        predicted = [self.emotions[number] for number in logits.argmax(1)]
        emotion = [self.emotion[clip] for clip in fold.test]
        table = {
            "repeat": fold.repeat,
            "fold": fold.fold,
            "clip": fold.test,
            "emotion": emotion,
            "predicted": predicted,
        }
        return pd.concat([pd.DataFrame(table), probabilities], axis=1)


def load_dataset(emotions, protocol):
    """Read catalogue and split, refuse what leaks (splits.check) or a split of other emotions, and return the Study.

    Thus every one of `emotions` has training clips in every fold.
    """
    table = manifest.load("data/catalogue.csv")
    folds = splits.load("data/splits.csv", table, protocol)
    emotion = dict(zip(table["clip"], table.emotion, strict=True))
    divided = {emotion[clip] for fold in folds for clip in fold.test}
    if divided != set(emotions):
        raise InputError(
            f"data/splits.csv divides clips of {', '.join(sorted(divided))}, but params.yaml: key `emotions` lists "
            f"{', '.join(emotions)}; run `dvc repro split`"
        )
    return Study(emotions, emotion, folds)
