"""What every stage after `split` starts from: the real clips, their emotions and the checked folds."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import torch
from pydantic import NonNegativeInt
from torch import Tensor

from ser.core.errors import InputError
from ser.core.fold import Fold, Run
from ser.core.fold_jobs import FoldJob
from ser.data import factors, manifest, mel_store, splits
from ser.data.clips import Clips, load_clips

FILES = ("data/catalogue.csv", "data/splits.csv", "data/mels/index.csv", "data/mels/frames.npy")


@dataclass(frozen=True)
class Dataset:
    class_names: list[str]  # emotions, in the order of the labels
    emotion_of: dict[str, str]  # clip -> emotion
    folds: list[Fold]
    catalogue: pd.DataFrame

    @cached_property
    def mels(self) -> mel_store.MelStore:
        return mel_store.read("data/mels")

    def clips(self, names: Sequence[str], device: torch.device) -> Clips:
        """Real clips as tensors, in the order of `names`."""
        return load_clips(self.mels, names, self.emotion_of, self.class_names, device)

    def factors(self, names: Sequence[str]) -> Tensor:
        """What is known of clips, int64 `[clips, FACTORS]` (see ser/data/factors.py)."""
        return factors.number(self.catalogue, names, self.class_names)

    def labels(self, names: Sequence[str]) -> Tensor:
        """The class numbers of clips, `[clips]`."""
        return torch.tensor([self.class_names.index(self.emotion_of[clip]) for clip in names])

    def predictions(self, run: Run, clips: Sequence[str], logits: Tensor) -> pd.DataFrame:
        """The table of `clips`, those of one role of the fold, from their logits `[clips, classes]`.

        Its columns are `repeat,fold,run,clip,emotion,predicted` and a probability per emotion.
        """
        probabilities = pd.DataFrame(torch.softmax(logits, 1).double().numpy().round(6), columns=self.class_names)
        table = {
            "repeat": run.repeat,
            "fold": run.fold,
            "run": run.run,
            "clip": clips,
            "emotion": [self.emotion_of[clip] for clip in clips],
            "predicted": [self.class_names[label] for label in logits.argmax(1)],
        }
        return pd.concat([pd.DataFrame(table), probabilities], axis=1)


def load_dataset(class_names: list[str], protocol: str) -> Dataset:
    """Read the catalogue and the split, refuse what leaks (splits.check) and a split of other emotions.

    Every class therefore has training clips in every fold.
    """
    table = manifest.load("data/catalogue.csv")
    folds = splits.load("data/splits.csv", table, protocol)
    emotion_of = dict(zip(table["clip"], table["emotion"], strict=True))
    divided = {emotion_of[clip] for fold in folds for clip in fold.test}
    if divided != set(class_names):
        raise InputError(
            f"data/splits.csv divides clips of {', '.join(sorted(divided))}, but params.yaml: key `emotions` lists "
            f"{', '.join(class_names)}; run `dvc repro split`"
        )
    return Dataset(class_names, emotion_of, folds, table)


class DatasetJob(FoldJob):
    """A fold job over the dataset: what all of them are made from."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.class_names: list[str] = self.read("emotions", list[str])
        self.protocol: str = self.read("split.protocol", str)
        self.seed: int = self.read("seed", NonNegativeInt)
        self.inputs += FILES

    @cached_property
    def dataset(self) -> Dataset:
        return load_dataset(self.class_names, self.protocol)

    @property
    def folds(self) -> list[Fold]:
        return self.dataset.folds
