"""An arm of the study: one classifier a fold, trained in the arm's way and tested on speakers it never met."""

import pandas as pd
from pydantic import Field

from ser.core import checkpoints, fold_jobs, tracking
from ser.core.atomic import replacing
from ser.core.device import setup_torch
from ser.core.errors import InputError
from ser.core.params import Section
from ser.core.rng import derive_seed
from ser.data import synthetic
from ser.data.dataset import FILES
from ser.models.classifier import build_classifier, evaluate
from ser.training import loop
from ser.training.augmentation import Masking


class Arm(Section):
    masking: Masking
    share: float = Field(ge=0, lt=1)


def run(
    name,  # of the arm
    arm,  # Arm
    real,  # Study: the real clips and the folds
    classifier,  # ClassifierSettings
    settings,  # Training
    seed,  # of weights and batches; the same in every arm
    generated=None,  # folder of a pack of synthetic clips, or None
):
    """Train and test the arm on every fold; write models/arms/<name>, metrics/predictions/<name>.csv and
    metrics/curves/<name>.csv."""
    if arm.share and not generated:
        raise InputError(f"params.yaml: key `arms.{name}.share` is {arm.share} without a generator; set it to 0.0")
    device = setup_torch()

    def work(fold, folder):
        train, validation = real.clips(fold.train, device), real.clips(fold.validation, device)
        normalise = train.normaliser()
        extra = synthetic.clips(generated, fold, real.emotions, device) if generated else None
        model = build_classifier(
            classifier, len(normalise.mean), len(real.emotions), derive_seed(seed, fold.repeat, fold.fold)
        )
        with tracking.live(folder / "live") as log:
            epoch = loop.fit(
                model,
                normalise,
                loop.Sources(train, extra, arm.share),
                validation,
                classifier.frames,
                settings,
                arm.masking,
                derive_seed(seed, fold.repeat, fold.fold, 1),
                log,
            )
        test = real.clips(fold.test, device)
        logits = evaluate(model, normalise, test, classifier.frames, settings.precision)
        real.predictions(fold, logits).to_csv(folder / "predictions.csv", index=False)
        facts = {"training": fold.training_digest, "epoch": epoch}
        checkpoints.save(folder / "model", model.state_dict() | normalise.tensors(), facts)

    def gather(folders):
        facts = {"emotions": real.emotions, "classifier": classifier.model_dump(), "arm": arm.model_dump()}
        checkpoints.merge(f"models/arms/{name}", folders, facts)
        with replacing(f"metrics/predictions/{name}.csv") as temporary:
            tables = [pd.read_csv(folder / "predictions.csv", dtype=str) for folder in folders]
            pd.concat(tables).to_csv(temporary, index=False)
        with replacing(f"metrics/curves/{name}.csv") as temporary:
            tracking.read(folders, "epoch").to_csv(temporary, index=False)

    inputs = [*FILES, *([f"{generated}/index.csv", f"{generated}/frames.npy"] if generated else [])]
    fold_jobs.run(name, real.folds, work, [arm, classifier, settings, seed, real.emotions], inputs, gather)
