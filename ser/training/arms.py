"""An arm of the study: several classifiers per fold, trained in the arm's way and tested on unseen speakers."""

from pathlib import Path

import pandas as pd
import torch
from pydantic import Field

from ser.core import checkpoints, tracking
from ser.core.atomic import replacing
from ser.core.fold import Run
from ser.core.params import Config
from ser.core.rng import Stream, derive_seed
from ser.data import synthetic
from ser.data.dataset import DatasetJob
from ser.models.classifier import ClassifierConfig, build_classifier, evaluate
from ser.training import loop
from ser.training.augmentation import AugmentationConfig
from ser.training.loop import Sources, TrainingConfig


class ArmConfig(Config):
    share: float = Field(ge=0, lt=1)  # of every batch that is synthetic


class ArmTrainingConfig(TrainingConfig):
    runs: int = Field(gt=0)  # trainings per fold


class TrainArm(DatasetJob):
    """Train and test an arm on every fold, several times.

    Writes models/arms/<arm>, metrics/predictions/<arm>.csv, metrics/curves/<arm>.csv and the predictions for
    validation clips, data/validation/<arm>.csv. A subclass says what the arm consists of.
    """

    augmentation: AugmentationConfig
    share = 0.0
    generated: str | None = None  # folder of the synthetic clips

    def __init__(self, arm: str) -> None:
        super().__init__(arm)
        self.classifier: ClassifierConfig = self.read("classifier", ClassifierConfig)
        self.training: ArmTrainingConfig = self.read("training", ArmTrainingConfig)
        self.modules.append(self.classifier.module)

    @property
    def folds(self) -> list[Run]:  # type: ignore[override]  # each is trained on several times
        return [Run.of(fold, run) for fold in self.dataset.folds for run in range(self.training.runs)]

    def run(self, fold: Run, folder: Path) -> None:  # type: ignore[override]
        train = self.dataset.clips(fold.train, self.device)
        validation = self.dataset.clips(fold.validation, self.device) if fold.validation else None
        extra = synthetic.clips(self.generated, fold, self.class_names, self.device) if self.generated else None
        seed = derive_seed(self.seed, Stream.WEIGHTS, fold)
        model = build_classifier(self.classifier, train.normaliser(), len(self.class_names), seed)
        with tracking.live(folder / "live") as log:
            loop.train(
                model,
                Sources(train, extra, self.share),
                validation,
                self.classifier.frames,
                self.training,
                self.augmentation,
                derive_seed(self.seed, Stream.TRAINING, fold),
                log,
            )
        test = self.dataset.clips(fold.test, self.device)
        for role, names, clips in ("test", fold.test, test), ("validation", fold.validation, validation):
            if clips is None:
                logits = torch.empty(0, len(self.class_names))
            else:
                logits = evaluate(model, clips, self.classifier.frames, self.training.precision)
            self.dataset.predictions(fold, names, logits).to_csv(folder / f"{role}.csv", index=False)
        checkpoints.save(folder / "model", model.state_dict(), {"train_digest": fold.train_digest})

    def gather(self, folders: list[Path]) -> None:
        facts = {
            "emotions": self.class_names,
            "classifier": self.classifier.model_dump(),
            "augmentation": self.augmentation.model_dump(),
            "share": self.share,
        }
        checkpoints.merge(f"models/arms/{self.name}", folders, facts)
        for role, place in {"test": "metrics/predictions", "validation": "data/validation"}.items():
            tables = [pd.read_csv(folder / f"{role}.csv", dtype=str) for folder in folders]
            with replacing(f"{place}/{self.name}.csv") as temporary:
                pd.concat(tables).to_csv(temporary, index=False)
        with replacing(f"metrics/curves/{self.name}.csv") as temporary:
            tracking.read(folders, "epoch").to_csv(temporary, index=False)


class TrainRealArm(TrainArm):
    """An arm on real clips alone: its augmentation is the policy of its name."""

    def __init__(self, arm: str) -> None:
        super().__init__(arm)
        self.augmentation = self.read(f"augmentation.{arm}", AugmentationConfig)


class TrainSyntheticArm(TrainArm):
    """The arm of a generator: real and synthetic clips under the augmentation of the arm that it builds on."""

    def __init__(self, generator: str) -> None:
        super().__init__(generator)
        build_on = self.read("study.build_on", str)
        self.augmentation = self.read(f"augmentation.{build_on}", AugmentationConfig)
        self.share = self.read(f"arms.{generator}", ArmConfig).share
        self.generated = f"data/synthetic/{generator}"
        self.inputs += [f"{self.generated}/index.csv", f"{self.generated}/frames.npy"]
