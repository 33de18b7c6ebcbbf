"""Classifiers on fixed features of clips, on the folds of our runs: what is the same for every kind of features."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin, clone
from sklearn.metrics import recall_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from scripts import kept_metrics, named
from scripts.overrides import merged
from ser.core import params
from ser.data import splits
from ser.evaluation.statistics import compare_arms
from ser.reporting import tables


class Candidate(NamedTuple):
    """Features and their classifier, one of several from which validation speakers select."""

    name: str
    features: pd.DataFrame  # [clips, features], indexed by clip
    classifier: ClassifierMixin


def evaluate(arm: str, candidates: Sequence[Candidate], catalogue: pd.DataFrame, path: Path) -> None:
    """Train and test on the folds of every setting of the study with a goal; write `{setting: details}` to `path`.

    `details` are those of `compare_arms` with a single arm, and in `selected` the name of a candidate for every fold.
    """
    metrics = {}
    for name, experiment in named.with_goal().items():
        settings = merged(merged(params.load(), experiment.changes), named.HELD_OUT)
        corpora = [corpus for corpus, takes_part in settings["corpora"].items() if takes_part]
        clips = catalogue[catalogue["corpus"].isin(corpora) & catalogue["emotion"].isin(settings["emotions"])]
        split = params.check(settings["split"], splits.SplitConfig, "split")
        predicted = predictions(candidates, clips, split)
        drawn = {"resamples": settings["study"]["resamples"], "seed": settings["seed"]}
        _, metrics[name] = compare_arms({arm: predicted}, clips, settings["emotions"], split.protocol, **drawn)
        selected = predicted.drop_duplicates(["repeat", "fold"])[["repeat", "fold", "selected"]]
        metrics[name]["selected"] = selected.to_dict("records")
        ua = tables.percent(metrics[name]["arms"][arm]["overall"]["ua"])
        print(f"{name}: UA {ua}; selected: {', '.join(selected['selected'])}", flush=True)
    kept_metrics.write(path, metrics)


def predictions(candidates: Sequence[Candidate], table: pd.DataFrame, config: splits.SplitConfig) -> pd.DataFrame:
    """Return out-of-fold predictions `repeat, fold, run, clip, emotion, predicted`, probabilities and `selected`.

    In every fold each candidate is fitted to the training part, which also standardises its features. The one with the
    highest UA on the validation part, of equals the first, is fitted to both parts and predicts the test part;
    `selected` has its name. There is a column of probabilities per emotion where its classifier has `predict_proba`.
    Every run is number 0.
    """
    emotion = table.set_index("clip")["emotion"]
    rows = []
    for (repeat, fold), parts in splits.make(table, config).groupby(["repeat", "fold"]):
        train, validation, test = (parts["clip"][parts["role"] == role] for role in splits.ROLES)
        scores = [
            ua(emotion[validation], fitted(candidate, train, emotion).predict(candidate.features.loc[validation]))
            for candidate in candidates
        ]
        best = candidates[int(np.argmax(scores))]
        features, classifier = best.features.loc[test], fitted(best, pd.concat([train, validation]), emotion)
        part = pd.DataFrame({"repeat": repeat, "fold": fold, "run": 0, "clip": test.to_numpy()})
        part["emotion"] = emotion[test].to_numpy()
        part["predicted"] = classifier.predict(features)
        if hasattr(classifier, "predict_proba"):
            part[list(classifier.classes_)] = classifier.predict_proba(features)
        rows.append(part.assign(selected=best.name))
    return pd.concat(rows, ignore_index=True)


def fitted(candidate: Candidate, clips: pd.Series, emotion: pd.Series) -> Pipeline:
    """Return the candidate's classifier, fitted to `clips`, on features that are standardised over them."""
    classifier = make_pipeline(StandardScaler(), clone(candidate.classifier))
    return classifier.fit(candidate.features.loc[clips], emotion[clips])


def ua(emotion: pd.Series, predicted: np.ndarray) -> float:
    """Return the mean recall over the emotions that occur, to nine decimals, so that equal ones compare as equal."""
    return round(recall_score(emotion, predicted, labels=emotion.unique(), average="macro", zero_division=0), 9)
