"""The quality of synthetic clips: metrics/quality/GENERATOR.json.

The embeddings of real and synthetic clips of the first fold go to plots/embeddings/GENERATOR.csv and .png.
"""

import json
import sys
from pathlib import Path

import pandas as pd

from ser.core import checkpoints, fold_jobs
from ser.core.atomic import replacing
from ser.core.device import Precision
from ser.core.fold import Fold
from ser.core.stage import stage
from ser.data import manifest
from ser.data.dataset import DatasetJob
from ser.evaluation import sample_quality
from ser.models import baseline
from ser.models.classifier import ClassifierConfig
from ser.reporting import figures, projection
from ser.training.augmentation import AugmentationConfig
from ser.training.loop import TrainingConfig


class SampleQuality(DatasetJob):
    def __init__(self, generator: str) -> None:
        super().__init__(f"sample_quality-{generator}")
        self.generator = generator
        self.generated = f"data/synthetic/{generator}"
        self.classifier = self.read("classifier", ClassifierConfig)
        self.precision: Precision = self.read("training.precision", Precision)
        self.augmentation = self.read("augmentation.baseline", AugmentationConfig)
        self.quality_classifier = self.read("sample_quality.classifier", ClassifierConfig)
        self.quality_training = self.read("sample_quality.training", TrainingConfig)
        self.inputs += [
            *checkpoints.files(baseline.PATH),
            f"{self.generated}/index.csv",
            f"{self.generated}/frames.npy",
        ]
        self.modules += [self.classifier.module, self.quality_classifier.module]

    def run(self, fold: Fold, folder: Path) -> None:
        comparison = sample_quality.compare_clips(
            fold, self.dataset, self.generated, self.classifier, self.precision, self.seed, self.device
        )
        recalls = sample_quality.train_on_synthetic(
            comparison,
            len(self.class_names),
            self.quality_classifier,
            self.quality_training,
            self.augmentation,
            self.seed,
        )
        distances = sample_quality.nearest_neighbour_distances(comparison, self.classifier.frames, self.seed)
        metrics = sample_quality.fold_metrics(comparison, recalls, distances, self.class_names)
        (folder / "metrics.json").write_text(json.dumps(metrics))
        if fold == self.folds[0]:
            catalogue = manifest.load("data/catalogue.csv")
            speaker_of = dict(zip(catalogue["clip"], catalogue["speaker"], strict=True))
            table, embeddings = sample_quality.points(comparison, self.class_names, speaker_of)
            table[projection.COLUMNS] = projection.project(embeddings, self.seed).round(4)
            table.to_csv(folder / "points.csv", index=False)

    def gather(self, folders: list[Path]) -> None:
        summary = sample_quality.summarise([json.loads((folder / "metrics.json").read_text()) for folder in folders])
        with replacing(f"metrics/quality/{self.generator}.json") as temporary:
            temporary.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")
        points = pd.read_csv(folders[0] / "points.csv", keep_default_na=False)
        with replacing(f"plots/embeddings/{self.generator}.csv") as temporary:
            points.to_csv(temporary, index=False)
        figure = figures.embeddings(
            points,
            f"Real clips and clips of {self.generator} in the embedding of the baseline",
            "First fold, equal numbers of every emotion. The baseline was trained on the training clips.",
        )
        figures.save(figure, f"plots/embeddings/{self.generator}.png")


JOB = SampleQuality

if __name__ == "__main__":
    stage(fold_jobs.main, JOB, *sys.argv[1:])
