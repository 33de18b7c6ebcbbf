"""The autoencoder of every fold, fitted to its training clips: models/autoencoder.

Its losses go to metrics/losses/autoencoder.csv.
"""

import sys
from pathlib import Path

from ser.core import checkpoints, fold_jobs, tracking
from ser.core.atomic import replacing
from ser.core.fold import Fold
from ser.core.rng import Stream, derive_seed
from ser.core.stage import stage
from ser.data.dataset import DatasetJob
from ser.generators import autoencoder
from ser.generators.autoencoder import AutoencoderConfig


class FitAutoencoder(DatasetJob):
    def __init__(self, section: str) -> None:
        super().__init__(f"fit_autoencoder-{section}")
        self.config = self.read(section, AutoencoderConfig)

    def run(self, fold: Fold, folder: Path) -> None:
        clips = self.dataset.clips(fold.train, self.device)
        with tracking.live(folder / "live") as log:
            fitted = autoencoder.fit(clips, self.config, derive_seed(self.seed, Stream.AUTOENCODER, fold), log)
        checkpoints.save(folder / "model", fitted.state_dict(), {"train_digest": fold.train_digest})

    def gather(self, folders: list[Path]) -> None:
        checkpoints.merge(autoencoder.PATH, folders, self.config.model_dump())
        with replacing("metrics/losses/autoencoder.csv") as temporary:
            tracking.read(folders, "step").to_csv(temporary, index=False)


JOB = FitAutoencoder

if __name__ == "__main__":
    stage(fold_jobs.main, JOB, *sys.argv[1:])
