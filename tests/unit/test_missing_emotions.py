"""Folds in which half of the training voices are known in two emotions only (scripts/missing_emotions.py)."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from scripts import missing_emotions, named
from ser.data import splits
from tests.helpers.project import ROOT

EMOTIONS = ["anger", "disgust", "fear", "happiness", "neutral", "sadness"]
SPEAKERS = {"a": 8, "b": 14}


@pytest.fixture
def catalogue():
    cells = [
        (f"{corpus}/{corpus}{number}-{emotion}-{take}", corpus, f"{corpus}{number}", emotion)
        for corpus, speakers in SPEAKERS.items()
        for number, emotion, take in product(range(speakers), EMOTIONS, range(2))
    ]
    table = pd.DataFrame(cells, columns=["clip", "corpus", "speaker", "emotion"])
    return table.assign(sex="male", text="1", sha256=table["clip"])


@pytest.fixture
def split(catalogue):
    config = splits.SplitConfig(protocol="speaker", file=None, folds=2, repeats=1, validation=0, training=1, seed=0)
    return splits.make(catalogue, config)


def test_half_of_the_training_voices_of_each_corpus_keep_two_emotions_whole(catalogue, split):
    thinned = missing_emotions.thinned(split, catalogue, np.random.default_rng(0)).merge(catalogue, on="clip")
    for fold in range(2):
        training = thinned[(thinned["fold"] == fold) & (thinned["role"] == "train")]
        for corpus, speakers in SPEAKERS.items():
            clips = pd.crosstab(*(training[training["corpus"] == corpus][key] for key in ("speaker", "emotion")))
            assert set(np.unique(clips)) == {0, 2}
            assert sorted((clips > 0).sum(axis=1)) == [2] * (speakers // 4) + [6] * (speakers // 2 - speakers // 4)
            partly = clips[(clips > 0).sum(axis=1) == 2]
            assert np.ptp((partly > 0).sum()) <= 1


def test_test_clips_stay_and_the_voices_differ_between_folds(catalogue, split):
    thinned = missing_emotions.thinned(split, catalogue, np.random.default_rng(0))
    tested = [table[table["role"] == "test"][["fold", "clip"]].to_numpy().tolist() for table in (split, thinned)]
    assert sorted(tested[0]) == sorted(tested[1])
    assert list(thinned) == ["fold", "role", "clip"]


def test_the_committed_folds_test_every_clip_once_and_train_on_two_thirds():
    experiment = named.experiments()["missing_emotions"]
    table = pd.read_csv(ROOT / experiment.changes["split"]["file"])
    assert table[table["role"] == "test"]["clip"].is_unique
    sizes = table.groupby(["fold", "role"]).size().unstack()
    clips = sizes["test"].sum()
    assert (clips, len(sizes), set(sizes)) == (1510, 5, {"train", "test"})
    assert (sizes["train"] / (clips - sizes["test"])).between(0.64, 0.70).all()
