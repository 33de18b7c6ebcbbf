"""A support vector machine on handcrafted features, with features that are made up."""

import shutil
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts import fixed_features, kept_metrics, named, opensmile_svm
from ser.audio.io import AudioConfig
from ser.core.errors import InputError
from ser.data import manifest, splits
from tests.helpers import catalogues
from tests.helpers.project import ROOT

SIX = ["anger", "disgust", "fear", "happiness", "neutral", "sadness"]
SPLIT = splits.SplitConfig(protocol="speaker", folds=2, repeats=1, validation=0.3, training=1.0, seed=0)


@pytest.fixture(scope="module")
def table():
    return catalogues.emodb(6, ["anger", "fear", "neutral"])


def features(table, signal):
    """Five columns of noise, in each of which the emotions stand `signal` standard deviations apart."""
    noise = np.random.default_rng(0).standard_normal((len(table), 5))
    noise += signal * table["emotion"].map(["anger", "fear", "neutral"].index).to_numpy()[:, None]
    return pd.DataFrame(1000 * noise + 5, index=table["clip"])


def predictions(features, table):
    return fixed_features.predictions(opensmile_svm.candidates(features), table, SPLIT)


def test_every_clip_is_tested_once_and_recognised_by_its_features(table):
    separable = predictions(features(table, signal=20), table)
    assert sorted(separable["clip"]) == sorted(table["clip"])
    assert (separable["predicted"] == separable["emotion"]).all()
    noise = predictions(features(table, signal=0), table)
    assert (noise["predicted"] != noise["emotion"]).mean() > 0.4


def test_test_clips_take_no_part_in_what_is_predicted_for_others(table):
    """Other features of one test clip leave what is predicted for the rest of its fold's test part as it is."""
    whole = features(table, signal=1)
    before = predictions(whole, table)
    one, fold = before.loc[0, "clip"], before.loc[0, "fold"]
    changed = whole.copy()
    changed.loc[one] = 1e6
    after = predictions(changed, table)
    same = (before["fold"] == fold) & (before["clip"] != one)
    assert same.any() and before[same].equals(after[same])


def test_without_opensmile_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    config = AudioConfig(sample_rate=16000, channel="mean", trim_db=None, remove_mean=False)
    with pytest.raises(InputError, match="pip install opensmile"):
        opensmile_svm.extract(["a.wav"], config)


def test_every_setting_with_a_goal_is_measured_on_its_own_clips_and_folds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    Path("data").mkdir()
    rows = [
        (f"{corpus}/{speaker}-{emotion}-{take}", corpus, emotion, f"{corpus}-{speaker}")
        for corpus, speakers, extra in (("emodb", 10, ["boredom"]), ("ravdess", 24, ["calm", "surprise"]))
        for speaker, emotion, take in product(range(speakers), [*SIX, *extra], range(2))
    ]
    catalogue = pd.DataFrame(rows, columns=["clip", "corpus", "emotion", "speaker"])
    catalogue = catalogue.assign(
        path=catalogue["clip"], sex="female", text="a", intensity="normal", seconds=1.0, sample_rate=16000
    ).assign(sha256=catalogue["clip"])
    catalogue[list(manifest.COLUMNS)].sort_values("clip").to_csv("data/catalogue.csv", index=False)
    emotion = dict(zip(catalogue["clip"], catalogue["emotion"]))

    def extract(paths, config):
        """Features that name the emotion."""
        return np.array([[manifest.EMOTIONS.index(emotion[path])] for path in paths], dtype=np.float32)

    validation, predict = [], fixed_features.predictions

    def remember(candidates, table, config):
        validation.append(config.validation)
        return predict(candidates, table, config)

    monkeypatch.setattr(opensmile_svm, "extract", extract)
    monkeypatch.setattr(fixed_features, "predictions", remember)
    opensmile_svm.main()
    assert validation == [named.HELD_OUT["split"]["validation"]] * 4
    metrics = kept_metrics.read(kept_metrics.OPENSMILE_SVM)
    assert {name: (entry["protocol"], entry["clips"]) for name, entry in metrics.items()} == {
        "default": ("speaker", 2 * 6 * 34),
        "emodb_seven": ("loso", 2 * 7 * 10),
        "random_split": ("random", 2 * 6 * 34),
        "ravdess_eight": ("speaker", 2 * 8 * 24),
    }
    assert all(entry["arms"]["opensmile_svm"]["overall"]["ua"]["value"] > 0.9 for entry in metrics.values())


def test_committed_metrics_are_of_the_settings_with_a_goal():
    assert set(kept_metrics.read(ROOT / kept_metrics.OPENSMILE_SVM)) == set(named.with_goal())
