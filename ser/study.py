"""What every stage after `split` starts from: the real clips, their emotions and the checked folds."""

from dataclasses import dataclass
from functools import cached_property

from ser import batches, catalogue, packs, splits

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
    """Read catalogue and split, refuse what leaks (splits.check) and return the Study."""
    table = catalogue.load("data/catalogue.csv")
    folds = splits.load("data/splits.csv", table, protocol)
    return Study(emotions, dict(zip(table["clip"], table.emotion, strict=True)), folds)
