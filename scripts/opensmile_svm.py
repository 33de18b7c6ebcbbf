"""What handcrafted features reach on the folds of our runs, without a network: `python -m scripts.opensmile_svm`.

The 6,373 functionals of ComParE 2016 (Eyben et al., openSMILE, ACM Multimedia 2010; Weninger et al., Frontiers in
Psychology 4, 2013) of the same samples that become mels, and a support vector machine with an RBF kernel, whose cost
validation speakers choose. metrics/functionals.json has the figures beside each run of tables.PUBLISHED. The package
of openSMILE is not in requirements.txt, as its licence is for research alone.
"""

import json

import numpy as np
import pandas as pd
from sklearn.metrics import recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from scripts import results, study_tables
from ser.audio.io import Audio, load_audio
from ser.core import params
from ser.core.atomic import replacing
from ser.core.errors import InputError
from ser.core.stage import progress, stage
from ser.data import manifest, splits
from ser.evaluation.statistics import compare_arms
from ser.reporting import tables

COSTS = (1, 10, 100)


def main():
    table = manifest.load("data/catalogue.csv")
    features = pd.DataFrame(extract(table["path"], params.read("audio", Audio)), index=table["clip"])
    found = {}
    for _, name in study_tables.PUBLISHED:
        settings = params.load() if name == "default" else results.planned(name)
        selected = [corpus for corpus, takes_part in settings["corpora"].items() if takes_part]
        clips = table[table["corpus"].isin(selected) & table["emotion"].isin(settings["emotions"])]
        split = params.check(settings["split"], splits.Split, "split")
        predicted = {"functionals": predictions(features, clips, split)}
        drawn = {"resamples": settings["study"]["resamples"], "seed": settings["seed"]}
        _, found[name] = compare_arms(predicted, clips, settings["emotions"], split.protocol, **drawn)
        print(f"{name}: UA {tables.percent(found[name]['arms']['functionals']['overall']['ua'])}", flush=True)
    with replacing(results.FUNCTIONALS) as temporary:
        temporary.write_text(json.dumps(found, indent=2) + "\n")


def extract(paths, settings):
    """The functionals of sound files, float32 `[files, 6373]`. Raises InputError where openSMILE is not installed."""
    try:
        import opensmile
    except ImportError:
        raise InputError(
            "openSMILE is not installed; `pip install opensmile==2.6.0`, whose licence is for research "
            "alone, and run this again"
        ) from None
    smile = opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.Functionals)
    sounds = (load_audio(path, settings) for path in progress(paths, "functionals", "clip", len(paths)))
    return np.concatenate([smile.process_signal(sound, settings.sample_rate).to_numpy() for sound in sounds])


def predictions(features, table, settings):
    """Out-of-fold predictions `repeat, fold, clip, emotion, predicted` from features `[clips, features]`, indexed by
    clip. Features are standardised by the training part and emotions weigh the same; of equally good costs the lowest
    is taken."""
    emotion = table.set_index("clip")["emotion"]
    rows = []
    for (repeat, fold), parts in splits.make(table, settings).groupby(["repeat", "fold"]):
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


def ua(emotion, predicted):
    """Mean recall over the emotions that occur, to nine decimals, so that equal ones compare as equal."""
    return round(recall_score(emotion, predicted, labels=emotion.unique(), average="macro", zero_division=0), 9)


if __name__ == "__main__":
    stage(main)
