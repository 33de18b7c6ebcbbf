"""An arm fused with handcrafted features, after a run of the study: `python -m scripts.fusion ARM`.

To the log probabilities of every network of the arm, WEIGHT times those of a support vector machine on openSMILE's
functionals are added (late fusion), which is fitted on the same folds (scripts/opensmile_svm.py). WEIGHT was chosen on
validation speakers (docs/choices.md). metrics/fusion.json has the arm and what becomes of it, as `compare_arms` does.
"""

import argparse
from pathlib import Path

import pandas as pd
from sklearn.calibration import CalibratedClassifierCV

from scripts import fixed_features, kept_metrics, named, opensmile_svm
from scripts.fixed_features import Candidate
from scripts.overrides import merged
from ser.audio.io import AudioConfig
from ser.core import params
from ser.core.stage import stage
from ser.data import manifest, splits
from ser.evaluation.fusion import fused
from ser.evaluation.predictions import read_predictions
from ser.evaluation.statistics import compare_arms
from ser.evaluation.study import StudyConfig

WEIGHT = 0.5


def main() -> None:
    """Fit the machines, fuse their predictions with those of an arm, and compare."""
    parser = argparse.ArgumentParser("python -m scripts.fusion", description=__doc__.split("\n")[0])
    known = list(params.read("study", StudyConfig).stage_of)
    parser.add_argument("arm", choices=known, metavar="ARM", help=", ".join(known))
    arm = parser.parse_args().arm
    settings = merged(params.load(), named.HELD_OUT)
    emotions = settings["emotions"]
    networks = read_predictions(f"metrics/predictions/{arm}.csv", emotions)
    catalogue = manifest.load(Path("data/catalogue.csv"))
    clips = catalogue[catalogue["clip"].isin(networks["clip"])]
    features = opensmile_svm.extract(clips["path"], params.read("audio", AudioConfig))
    machines = fixed_features.predictions(
        candidates(pd.DataFrame(features, index=clips["clip"])),
        clips,
        params.check(settings["split"], splits.SplitConfig, "split"),
    )
    arms = {arm: networks, "fused": fused(networks, machines, emotions, WEIGHT)}
    drawn = {"resamples": settings["study"]["resamples"], "seed": settings["seed"]}
    _, details = compare_arms(arms, clips, emotions, settings["split"]["protocol"], **drawn)
    kept_metrics.write(kept_metrics.FUSION, details)


def candidates(features: pd.DataFrame) -> list[Candidate]:
    """Return the machines of `opensmile_svm.candidates`, with probabilities (Platt scaling)."""
    return [
        each._replace(classifier=CalibratedClassifierCV(each.classifier, ensemble=False))
        for each in opensmile_svm.candidates(features)
    ]


if __name__ == "__main__":
    stage(main)
