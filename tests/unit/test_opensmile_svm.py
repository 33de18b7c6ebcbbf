"""Handcrafted features and a support vector machine, on features that are made up."""

import sys

import numpy as np
import pandas as pd
import pytest

from scripts import opensmile_svm
from ser.audio.io import Audio
from ser.core.errors import InputError
from ser.data import splits

SPLIT = splits.Split(protocol="speaker", folds=2, repeats=1, validation=0.3, training=1.0, seed=0)


@pytest.fixture(scope="module")
def table():
    rows = [
        {
            "clip": f"emodb/{speaker}-{emotion}-{take}",
            "corpus": "emodb",
            "speaker": f"emodb-{speaker}",
            "sex": "male",
            "emotion": emotion,
            "text": "a",
            "sha256": f"{speaker}-{emotion}-{take}",
        }
        for speaker in range(6)
        for emotion in ("anger", "fear", "neutral")
        for take in range(4)
    ]
    return pd.DataFrame(rows)


def features(table, signal):
    """Five columns of noise, in each of which the emotions stand `signal` standard deviations apart."""
    noise = np.random.default_rng(0).standard_normal((len(table), 5))
    noise += signal * table["emotion"].map(["anger", "fear", "neutral"].index).to_numpy()[:, None]
    return pd.DataFrame(1000 * noise + 5, index=table["clip"])


def test_every_clip_is_tested_once_and_known_by_its_features(table):
    found = opensmile_svm.predictions(features(table, signal=20), table, SPLIT)
    assert sorted(found["clip"]) == sorted(table["clip"])
    assert (found["predicted"] == found["emotion"]).all()
    guessed = opensmile_svm.predictions(features(table, signal=0), table, SPLIT)
    assert (guessed["predicted"] != guessed["emotion"]).mean() > 0.4


def test_the_cost_is_chosen_by_validation_speakers(table, monkeypatch):
    monkeypatch.setattr(opensmile_svm, "COSTS", (1e-9, 1.0))  # with the first, all clips get one emotion
    found = opensmile_svm.predictions(features(table, signal=20), table, SPLIT)
    assert (found["predicted"] == found["emotion"]).all()


def test_test_clips_take_no_part_in_what_is_predicted_for_others(table):
    """Other features of one test clip leave what is predicted for the rest of its fold's test part as it is."""
    whole = features(table, signal=1)
    before = opensmile_svm.predictions(whole, table, SPLIT)
    one, fold = before.loc[0, "clip"], before.loc[0, "fold"]
    changed = whole.copy()
    changed.loc[one] = 1e6
    after = opensmile_svm.predictions(changed, table, SPLIT)
    same = (before["fold"] == fold) & (before["clip"] != one)
    assert same.any() and before[same].equals(after[same])


def test_without_opensmile_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    settings = Audio(sample_rate=16000, channel="mean", trim_db=None)
    with pytest.raises(InputError, match="pip install opensmile"):
        opensmile_svm.extract(["a.wav"], settings)
