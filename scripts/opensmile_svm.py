"""A support vector machine on handcrafted features on the folds of our runs: `python -m scripts.opensmile_svm`.

Features: the 6,373 functionals of ComParE 2016 (Eyben et al., openSMILE, ACM Multimedia 2010; Weninger et al.,
Frontiers in Psychology 4, 2013) of the same samples that become mels. Classifier: a support vector machine with an RBF
kernel, whose cost is selected on validation speakers. metrics/opensmile_svm.json has the metrics for every setting of
the study with a goal. The package of openSMILE is not in requirements.txt, because its licence is for research only.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.svm import SVC

from scripts import fixed_features, kept_metrics
from scripts.fixed_features import Candidate
from ser.audio.io import AudioConfig, load_audio
from ser.core import params
from ser.core.errors import InputError
from ser.core.stage import progress, stage
from ser.data import manifest

COSTS = (1, 10, 100)


def main() -> None:
    """Extract the features of all clips once, then train and test on the folds of every setting with a goal."""
    catalogue = manifest.load(Path("data/catalogue.csv"))
    features = pd.DataFrame(extract(catalogue["path"], params.read("audio", AudioConfig)), index=catalogue["clip"])
    fixed_features.evaluate("opensmile_svm", candidates(features), catalogue, kept_metrics.OPENSMILE_SVM)


def extract(paths: Sequence[str], config: AudioConfig) -> np.ndarray:
    """Return the features of audio files, float32 `[files, 6373]`; InputError where openSMILE is not installed."""
    try:
        import opensmile
    except ImportError:
        raise InputError(
            "openSMILE is not installed; `pip install opensmile==2.6.0`, whose licence is for research "
            "only, and run this again"
        ) from None
    smile = opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.Functionals)
    sounds = (load_audio(path, config) for path in progress(paths, "openSMILE features", "clip", len(paths)))
    return np.concatenate([smile.process_signal(sound, config.sample_rate).to_numpy() for sound in sounds])


def candidates(features: pd.DataFrame) -> list[Candidate]:
    """Return a machine per cost, from the lowest; emotions weigh the same. `features` are indexed by clip."""
    return [Candidate(f"C={cost:g}", features, SVC(C=cost, class_weight="balanced")) for cost in COSTS]


if __name__ == "__main__":
    stage(main)
