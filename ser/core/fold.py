"""One fold of a cross-validation: clips to train on, to make choices on and to test on."""

import hashlib
from dataclasses import dataclass

from ser.core.errors import InputError


@dataclass(frozen=True)
class Fold:
    """One (repeat, fold): the clips of each role, in catalogue order."""

    repeat: int
    fold: int
    train: list[str]
    validation: list[str]
    test: list[str]

    @property
    def numbers(self) -> tuple[int, ...]:
        """What its name and its seeds are made from."""
        return self.repeat, self.fold

    @property
    def name(self) -> str:
        return "-".join(map(str, self.numbers))

    @property
    def train_digest(self) -> str:
        """Identifies the training clips and their order.

        Everything that is made from them carries it, and everything that uses the result compares it.
        """
        return hashlib.sha256("\n".join(self.train).encode()).hexdigest()[:16]

    def check_train_digest(self, digest: str, what: str) -> None:
        """Raise InputError if `what` (a model, an embedding, synthetic clips) was made from other training clips."""
        if digest != self.train_digest:
            raise InputError(
                f"{what} was not made from the training part of repeat {self.repeat} fold {self.fold} "
                f"({digest}, expected {self.train_digest}): using it would leak; run `dvc repro`"
            )


@dataclass(frozen=True)
class Run(Fold):
    """One of several trainings on the same fold, which differ in their random numbers alone."""

    run: int

    @classmethod
    def of(cls, fold: Fold, run: int) -> "Run":
        return cls(fold.repeat, fold.fold, fold.train, fold.validation, fold.test, run)

    @property
    def numbers(self) -> tuple[int, ...]:
        return *super().numbers, self.run
