"""Synthetic mels of every emotion and fold, stored like real ones, in dB: data/synthetic/GENERATOR.

They are kept as drawn, or only where the fold's own baseline recognises the emotion that they were drawn for.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ser.core import checkpoints, fold_jobs
from ser.core.device import Precision
from ser.core.errors import InputError
from ser.core.fold import Fold
from ser.core.rng import Stream, derive_seed, make_rng
from ser.core.stage import progress, stage
from ser.data import mel_store
from ser.data.clips import trimmed
from ser.data.dataset import DatasetJob
from ser.generators import base
from ser.models import baseline
from ser.models.classifier import Classifier, ClassifierConfig

ROUNDS = 20  # of `count` clips each, out of which the baseline must recognise `count`


class SampleGenerator(DatasetJob):
    def __init__(self, generator: str) -> None:
        super().__init__(f"sample-{generator}")
        self.generator = generator
        self.generator_class = base.get(generator)
        self.fit_config = self.read(f"generators.{generator}.fit", self.generator_class.FitConfig)
        self.config: Any = self.read(f"generators.{generator}.sample", self.generator_class.SampleConfig)
        self.only_recognised = self.read(f"generators.{generator}.recognised", bool)
        self.trim_db = self.read("audio.trim_db", float | None)
        self.classifier = self.read("classifier", ClassifierConfig)
        self.precision: Precision = self.read("training.precision", Precision)
        for path in ("data/embeddings", baseline.PATH, f"models/generators/{generator}"):
            self.inputs += checkpoints.files(path)
        self.modules += [base.module(generator), self.classifier.module]

    def run(self, fold: Fold, folder: Path) -> None:
        total = len(self.class_names) * self.config.count
        mel_store.write(folder / "mels", progress(self._clips(fold), unit="clip", total=total))

    def gather(self, folders: list[Path]) -> None:
        mel_store.join(f"data/synthetic/{self.generator}", [folder / "mels" for folder in folders])

    def _clips(self, fold: Fold) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """Rows of the index and mels `[n_mels, frames]` of the synthetic clips of a fold."""
        state = checkpoints.load(f"models/generators/{self.generator}", fold)
        generator = self.generator_class.restore(state, self.fit_config).to(self.device)
        model = None
        if self.only_recognised:
            model = baseline.load(fold, self.classifier, len(self.class_names), self.device)
        embeddings = checkpoints.load("data/embeddings", fold)["embeddings"]
        labels = self.dataset.labels(fold.train)
        for label, emotion in enumerate(self.class_names):
            own = embeddings[labels == label]
            if model:
                mels = self._draw_recognised(generator, label, own, fold, model)
            else:
                mels = self._draw(generator, label, own, fold)
            for take, mel in enumerate(mels):
                row = {
                    "clip": f"{self.generator}/{fold.name}/{emotion}-{take:04d}",
                    "repeat": fold.repeat,
                    "fold": fold.fold,
                    "emotion": emotion,
                    "train_digest": fold.train_digest,
                }
                yield row, mel.numpy()

    def _draw(
        self, generator: base.Generator, label: int, embeddings: Tensor, fold: Fold, turn: int = 0
    ) -> list[Tensor]:
        """`count` mels `[n_mels, frames]` of a class, like those of the mel store: trimmed, in dB below their peak."""
        seed = derive_seed(self.seed, Stream.SAMPLE, fold, label + turn * len(self.class_names))
        mels = generator.sample(label, embeddings, self.config, make_rng(seed))
        return [trimmed(generator.normaliser.to_db(mel.to(self.device)), self.trim_db).cpu() for mel in mels]

    def _draw_recognised(
        self, generator: base.Generator, label: int, embeddings: Tensor, fold: Fold, model: Classifier
    ) -> list[Tensor]:
        """`count` mels that the baseline `model` recognises, drawn in as many turns as it takes."""
        kept: list[Tensor] = []
        for turn in range(ROUNDS):
            mels = self._draw(generator, label, embeddings, fold, turn)
            kept.extend(baseline.recognised(model, mels, label, self.classifier, self.precision))
            if len(kept) >= self.config.count:
                return kept[: self.config.count]
        name, emotion = self.generator, self.class_names[label]
        raise InputError(
            f"params.yaml: key `generators.{name}.recognised`: the baseline of repeat {fold.repeat} fold "
            f"{fold.fold} recognised {len(kept)} of {ROUNDS * self.config.count} clips that {name} drew for {emotion}, "
            f"{self.config.count} are wanted; set it to false, or let {name} draw emotions more clearly, for instance "
            "with more `guidance` or more `updates`"
        )


JOB = SampleGenerator

if __name__ == "__main__":
    stage(fold_jobs.main, JOB, *sys.argv[1:])
