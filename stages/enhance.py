"""Predictions of the baseline for test clips that a generator has enhanced: metrics/enhanced/GENERATOR/CONDITION.csv.

The clips are noised and denoised under an emotion. The published protocol takes it from the label of the clip, which
leaks it. The other conditions are the emotion that the runs of the baseline recognise together, and none.
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import PositiveInt

from ser.core import checkpoints, fold_jobs
from ser.core.atomic import replacing
from ser.core.device import Precision
from ser.core.fold import Fold, Run
from ser.core.rng import Stream, derive_seed, make_rng
from ser.core.stage import progress, stage
from ser.data.clips import clips_from_mels
from ser.data.dataset import DatasetJob
from ser.evaluation.predictions import CONDITIONS
from ser.generators import base
from ser.generators.base import EnhancementConfig
from ser.models import baseline
from ser.models.classifier import ClassifierConfig, evaluate, mean_over_crops


class Enhance(DatasetJob):
    def __init__(self, generator: str) -> None:
        super().__init__(f"enhance-{generator}")
        self.generator = generator
        self.generator_class: Any = base.get(generator)
        self.fit_config: Any = self.read(f"generators.{generator}.fit", self.generator_class.FitConfig)
        self.config = self.read("enhancement", EnhancementConfig)
        self.classifier = self.read("classifier", ClassifierConfig)
        self.precision: Precision = self.read("training.precision", Precision)
        self.runs = self.read("training.runs", PositiveInt)
        for path in ("data/embeddings", baseline.PATH, f"models/generators/{generator}"):
            self.inputs += checkpoints.files(path)
        self.modules += [base.module(generator), self.classifier.module]

    def run(self, fold: Fold, folder: Path) -> None:
        centroids = checkpoints.load("data/embeddings", fold)["centroids"]
        state = checkpoints.load(f"models/generators/{self.generator}", fold)
        generator = self.generator_class.restore(state, self.fit_config).to(self.device)
        n_classes = len(self.class_names)
        models = [baseline.load(fold, self.classifier, n_classes, self.device, run) for run in range(self.runs)]
        test = self.dataset.clips(fold.test, self.device)
        clip_index, mels = test.pieces(self.fit_config.frames)
        mels = [generator.normaliser(mel) for mel in mels]
        logits = [evaluate(model, test, self.classifier.frames, self.precision) for model in models]
        predicted = torch.stack(logits).softmax(2).mean(0).argmax(1)
        labels_of_pieces = {
            "true_label": test.labels[clip_index].cpu(),
            "predicted_label": predicted[clip_index.cpu()],
            "no_label": None,
        }
        for condition in progress(CONDITIONS, unit="condition"):
            labels = labels_of_pieces[condition]
            embeddings = None if labels is None else centroids[labels]
            rng = make_rng(derive_seed(self.seed, Stream.ENHANCE, fold))
            enhanced = generator.enhance(mels, labels, embeddings, self.config, rng)
            mels_db = [generator.normaliser.to_db(mel.to(self.device)) for mel in enhanced]
            pieces = clips_from_mels(mels_db, test.labels[clip_index])
            tables = []
            for run, model in enumerate(models):
                logits_of_pieces = evaluate(model, pieces, self.classifier.frames, self.precision)
                logits_of_clips = mean_over_crops(logits_of_pieces, clip_index.cpu())
                tables.append(self.dataset.predictions(Run.of(fold, run), fold.test, logits_of_clips))
            pd.concat(tables).to_csv(folder / f"{condition}.csv", index=False)

    def gather(self, folders: list[Path]) -> None:
        for condition in CONDITIONS:
            tables = [pd.read_csv(folder / f"{condition}.csv", dtype=str) for folder in folders]
            with replacing(f"metrics/enhanced/{self.generator}/{condition}.csv") as temporary:
                pd.concat(tables).to_csv(temporary, index=False)


JOB = Enhance

if __name__ == "__main__":
    stage(fold_jobs.main, JOB, *sys.argv[1:])
