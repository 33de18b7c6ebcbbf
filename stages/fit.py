"""A generator fitted to every fold's training clips and their embeddings: models/generators/GENERATOR.

Its loss goes to metrics/losses/GENERATOR.csv.
"""

import sys
from pathlib import Path

from ser.core import checkpoints, fold_jobs, tracking
from ser.core.atomic import replacing
from ser.core.fold import Fold
from ser.core.rng import Stream, derive_seed
from ser.core.stage import stage
from ser.data.dataset import DatasetJob
from ser.generators import autoencoder, base
from ser.generators.autoencoder import Autoencoder
from ser.generators.base import TrainingPart


class FitGenerator(DatasetJob):
    def __init__(self, generator: str) -> None:
        super().__init__(f"fit-{generator}")
        self.generator = generator
        self.generator_class = base.get(generator)
        self.config = self.read(f"generators.{generator}.fit", self.generator_class.FitConfig)
        for path in ("data/embeddings", autoencoder.PATH):
            self.inputs += checkpoints.files(path)
        self.modules.append(base.module(generator))

    def run(self, fold: Fold, folder: Path) -> None:
        clips = self.dataset.clips(fold.train, self.device)
        part = TrainingPart(
            clips,
            clips.normaliser(),
            self.dataset.factors(fold.train).to(self.device),
            checkpoints.load("data/embeddings", fold)["embeddings"],
            Autoencoder.restore(checkpoints.load(autoencoder.PATH, fold)).to(self.device),
        )
        with tracking.live(folder / "live") as log:
            fitted = self.generator_class.fit(part, self.config, derive_seed(self.seed, Stream.FIT, fold), log)
        checkpoints.save(folder / "model", fitted.state_dict(), {"train_digest": fold.train_digest})

    def gather(self, folders: list[Path]) -> None:
        facts = {"emotions": self.class_names, "fit": self.config.model_dump()}
        checkpoints.merge(f"models/generators/{self.generator}", folders, facts)
        with replacing(f"metrics/losses/{self.generator}.csv") as temporary:
            tracking.read(folders, "step").to_csv(temporary, index=False)


JOB = FitGenerator

if __name__ == "__main__":
    stage(fold_jobs.main, JOB, *sys.argv[1:])
