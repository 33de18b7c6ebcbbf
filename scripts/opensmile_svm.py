"""A support vector machine on handcrafted features on the folds of our runs: `python -m scripts.opensmile_svm`.

Features: the 6,373 functionals of ComParE 2016 (Eyben et al., openSMILE, ACM Multimedia 2010; Weninger et al.,
Frontiers in Psychology 4, 2013) of the same samples that become mels. Classifier: a support vector machine with an RBF
kernel, whose cost is selected on validation speakers. metrics/opensmile_svm.json has the metrics for every setting of
the study with a goal. The package of openSMILE is not in requirements.txt, because its licence is for research only.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from scripts import kept_metrics, named
from scripts.overrides import merged
from ser.audio.io import AudioConfig, load_audio
from ser.core import params
from ser.core.atomic import replacing
from ser.core.errors import InputError
from ser.core.stage import progress, stage
from ser.data import manifest, splits
from ser.evaluation.statistics import compare_arms
from ser.reporting import tables

COSTS = (1, 10, 100)


def main() -> None:
    """Extract the features of all clips once, then train and test on the folds of every setting with a goal."""
    catalogue = manifest.load(Path("data/catalogue.csv"))
    features = pd.DataFrame(extract(catalogue["path"], params.read("audio", AudioConfig)), index=catalogue["clip"])
    metrics = {}
    for name, experiment in named.with_goal().items():
        settings = merged(params.load(), experiment.changes)
        selected = [corpus for corpus, takes_part in settings["corpora"].items() if takes_part]
        clips = catalogue[catalogue["corpus"].isin(selected) & catalogue["emotion"].isin(settings["emotions"])]
        split = params.check(settings["split"], splits.SplitConfig, "split")
        predicted = {"opensmile_svm": predictions(features, clips, split)}
        drawn = {"resamples": settings["study"]["resamples"], "seed": settings["seed"]}
        _, metrics[name] = compare_arms(predicted, clips, settings["emotions"], split.protocol, **drawn)
        overall = metrics[name]["arms"]["opensmile_svm"]["overall"]
        print(f"{name}: UA {tables.percent(overall['ua'])}", flush=True)
    with replacing(kept_metrics.OPENSMILE_SVM) as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n")


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


def predictions(features: pd.DataFrame, table: pd.DataFrame, config: splits.SplitConfig) -> pd.DataFrame:
    """Return out-of-fold predictions `repeat, fold, clip, emotion, predicted`.

    `features` [clips, features] are indexed by clip. They are standardised by the training part, and emotions weigh the
    same; of equally good costs the lowest is taken.
    """
    emotion = table.set_index("clip")["emotion"]
    rows = []
    for (repeat, fold), parts in splits.make(table, config).groupby(["repeat", "fold"]):
        train, validation, test = (parts["clip"][parts["role"] == role] for role in splits.ROLES)
        machines = [make_pipeline(StandardScaler(), SVC(C=cost, class_weight="balanced")) for cost in COSTS]
        for machine in machines:
            machine.fit(features.loc[train], emotion[train])
        best = max(machines, key=lambda machine: ua(emotion[validation], machine.predict(features.loc[validation])))
        rows.append(
            pd.DataFrame(
                {
                    "repeat": repeat,
                    "fold": fold,
                    "clip": test.to_numpy(),
                    "emotion": emotion[test].to_numpy(),
                    "predicted": best.predict(features.loc[test]),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def ua(emotion: pd.Series, predicted: np.ndarray) -> float:
    """Return the mean recall over the emotions that occur, to nine decimals, so that equal ones compare as equal."""
    return round(recall_score(emotion, predicted, labels=emotion.unique(), average="macro", zero_division=0), 9)


if __name__ == "__main__":
    stage(main)
