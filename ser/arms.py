"""An arm of the study: one classifier a fold, trained in the arm's way and tested on speakers it never met."""

import pandas as pd
from pydantic import Field

from ser import classifiers, compute, store, study, synthetic, tracking, training, units
from ser.errors import InputError
from ser.masking import Masking
from ser.params import Section
from ser.runtime import replacing


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
    device = compute.device()

    def work(fold, folder):
        train, validation = real.clips(fold.train, device), real.clips(fold.validation, device)
        normalise = train.normaliser()
        extra = synthetic.clips(generated, fold, real.emotions, device) if generated else None
        model = classifiers.build(
            classifier, len(normalise.mean), len(real.emotions), compute.derive_seed(seed, fold.repeat, fold.fold)
        )
        with tracking.live(folder / "live") as log:
            epoch = training.fit(
                model,
                normalise,
                training.Sources(train, extra, arm.share),
                validation,
                classifier.frames,
                settings,
                arm.masking,
                compute.derive_seed(seed, fold.repeat, fold.fold, 1),
                log,
            )
        test = real.clips(fold.test, device)
        logits = classifiers.evaluate(model, normalise, test, classifier.frames, settings.precision)
        real.predictions(fold, logits).to_csv(folder / "predictions.csv", index=False)
        facts = {"training": fold.training_digest, "epoch": epoch}
        store.save(folder / "model", model.state_dict() | normalise.tensors(), facts)

    def gather(folders):
        facts = {"emotions": real.emotions, "classifier": classifier.model_dump(), "arm": arm.model_dump()}
        store.merge(f"models/arms/{name}", folders, facts)
        with replacing(f"metrics/predictions/{name}.csv") as temporary:
            tables = [pd.read_csv(folder / "predictions.csv", dtype=str) for folder in folders]
            pd.concat(tables).to_csv(temporary, index=False)
        with replacing(f"metrics/curves/{name}.csv") as temporary:
            tracking.read(folders, "epoch").to_csv(temporary, index=False)

    inputs = [*study.FILES, *([f"{generated}/index.csv", f"{generated}/frames.npy"] if generated else [])]
    units.run(name, real.folds, work, [arm, classifier, settings, seed, real.emotions], inputs, gather)
