"""What every stage after `split` starts from: the real clips, their emotions and the checked folds."""

from dataclasses import dataclass
from functools import cached_property

from ser import batches, catalogue, packs, splits
from ser.errors import InputError

FILES = ["data/catalogue.csv", "data/splits.csv", "data/mels/index.csv", "data/mels/frames.npy"]


@dataclass(frozen=True)
class Study:
    emotions: list[str]
    emotion: dict[str, str]  # clip -> emotion
    folds: list[splits.Fold]

    @cached_property
    def pack(self):
        return packs.read("data/mels")

    def clips(self, names, device):
        """Real clips as tensors, in the order of `names`."""
        return batches.clips(self.pack, names, self.emotion, self.emotions, device)


def load(emotions, protocol):
    """Read catalogue and split, refuse what leaks (splits.check) or a split of other emotions, and return the Study.

    Thus every one of `emotions` has training clips in every fold.
    """
    table = catalogue.load("data/catalogue.csv")
    folds = splits.load("data/splits.csv", table, protocol)
    emotion = dict(zip(table["clip"], table.emotion, strict=True))
    divided = {emotion[clip] for fold in folds for clip in fold.test}
    if divided != set(emotions):
        raise InputError(
            f"data/splits.csv divides clips of {', '.join(sorted(divided))}, but params.yaml: key `emotions` lists "
            f"{', '.join(emotions)}; run `dvc repro split`"
        )
    return Study(emotions, emotion, folds)
