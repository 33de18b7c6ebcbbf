"""Predictions of a generator for test clips: metrics/recognised/GENERATOR.csv.

A fold has one generator, whose predictions are run 0.
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ser.core import checkpoints, fold_jobs
from ser.core.atomic import replacing
from ser.core.fold import Fold, Run
from ser.core.rng import Stream, derive_seed, make_rng
from ser.core.stage import stage
from ser.data.dataset import DatasetJob
from ser.generators import base
from ser.generators.base import RecognitionConfig


class Recognise(DatasetJob):
    def __init__(self, generator: str) -> None:
        super().__init__(f"recognise-{generator}")
        self.generator = generator
        self.generator_class: Any = base.get(generator)
        self.fit_config: Any = self.read(f"generators.{generator}.fit", self.generator_class.FitConfig)
        self.config = self.read(f"generators.{generator}.recognition", RecognitionConfig)
        self.inputs += checkpoints.files(f"models/generators/{generator}")
        self.modules.append(base.module(generator))

    def run(self, fold: Fold, folder: Path) -> None:
        state = checkpoints.load(f"models/generators/{self.generator}", fold)
        generator = self.generator_class.restore(state, self.fit_config).to(self.device)
        clip_index, pieces = self.dataset.clips(fold.test, self.device).pieces(self.fit_config.frames)
        mels = [generator.normaliser(piece) for piece in pieces]
        rng = make_rng(derive_seed(self.seed, Stream.ENHANCE, fold))
        of_pieces = generator.log_likelihoods(mels, len(self.class_names), self.config, rng)
        of_clips = torch.zeros(len(fold.test), len(self.class_names), device=self.device)
        of_clips.index_add_(0, clip_index, of_pieces)
        predictions = self.dataset.predictions(Run.of(fold, 0), fold.test, self.config.scale * of_clips.cpu())
        predictions.to_csv(folder / "test.csv", index=False)

    def gather(self, folders: list[Path]) -> None:
        tables = [pd.read_csv(folder / "test.csv", dtype=str) for folder in folders]
        with replacing(f"metrics/recognised/{self.generator}.csv") as temporary:
            pd.concat(tables).to_csv(temporary, index=False)


JOB = Recognise

if __name__ == "__main__":
    stage(fold_jobs.main, JOB, *sys.argv[1:])
