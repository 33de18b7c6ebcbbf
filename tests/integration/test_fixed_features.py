"""Classifiers on fixed features: who selects them, with features that are made up."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from scripts import fixed_features
from scripts.fixed_features import Candidate
from ser.data import splits
from ser.evaluation.predictions import read_predictions
from tests.helpers import catalogues

EMOTIONS = ["anger", "fear", "neutral"]
SPLIT = splits.SplitConfig(protocol="speaker", folds=3, repeats=1, validation=0.3, training=1.0, seed=0)


@pytest.fixture(scope="module")
def table():
    return catalogues.emodb(9, EMOTIONS)


def features(table, signal):
    """Five columns of noise, in each of which the emotions stand `signal` standard deviations apart."""
    noise = np.random.default_rng(round(10 * signal)).standard_normal((len(table), 5))
    label = table["emotion"].map(EMOTIONS.index).to_numpy()[:, None]
    return pd.DataFrame(noise + signal * label, index=table["clip"])


def candidates(*tables):
    return [Candidate(f"number {number}", table, LogisticRegression()) for number, table in enumerate(tables)]


def test_predictions_are_a_table_of_the_study(table, tmp_path):
    clear, noise = features(table, 5), features(table, 0)
    predicted = fixed_features.predictions(candidates(noise, clear), table, SPLIT)
    assert sorted(predicted["clip"]) == sorted(table["clip"])
    assert (predicted["predicted"] == predicted["emotion"]).mean() > 0.9
    assert set(predicted["selected"]) == {"number 1"}
    predicted.to_csv(tmp_path / "predictions.csv", index=False)
    assert (read_predictions(tmp_path / "predictions.csv", EMOTIONS)["run"] == 0).all()


def test_without_probabilities_there_are_no_columns_for_them(table):
    predicted = fixed_features.predictions([Candidate("a", features(table, 5), SVC())], table, SPLIT)
    assert not set(EMOTIONS) & set(predicted)


def test_of_equally_good_candidates_the_first_is_taken(table):
    clear = features(table, 20)
    assert set(fixed_features.predictions(candidates(clear, clear), table, SPLIT)["selected"]) == {"number 0"}


def test_validation_speakers_select(table):
    """Features are taken that are right about validation clips, not those that are right about test clips."""
    good, poor = features(table, 20), features(table, 0)
    for fold, parts in splits.make(table, SPLIT).groupby("fold"):
        validation, test = (parts["clip"][parts["role"] == role] for role in ("validation", "test"))
        wrong_in_validation, wrong_in_test = good.copy(), good.copy()
        wrong_in_validation.loc[validation] = poor.loc[validation]
        wrong_in_test.loc[test] = poor.loc[test]
        predicted = fixed_features.predictions(candidates(wrong_in_validation, wrong_in_test), table, SPLIT)
        assert set(predicted["selected"][predicted["fold"] == fold]) == {"number 1"}


def test_what_was_selected_is_fitted_to_all_clips_but_those_tested(table):
    similar, emotion = features(table, 0.5), table.set_index("clip")["emotion"]
    predicted = fixed_features.predictions(candidates(similar), table, SPLIT)
    for _, rows in predicted.groupby("fold"):
        tested = similar.index.isin(rows["clip"])
        classifier = make_pipeline(StandardScaler(), LogisticRegression()).fit(similar[~tested], emotion[~tested])
        np.testing.assert_allclose(rows[EMOTIONS], classifier.predict_proba(similar.loc[rows["clip"]]), atol=1e-3)


def test_emotions_of_test_clips_take_no_part_in_the_selection(table):
    """Other emotions of the test clips of a fold leave what is selected and predicted there as it is."""
    similar = candidates(*(features(table, signal) for signal in (0.3, 0.5, 0.4)))
    before = fixed_features.predictions(similar, table, SPLIT)
    for fold, rows in before.groupby("fold"):
        changed = table.copy()
        tested = changed["clip"].isin(rows["clip"])
        changed.loc[tested, "emotion"] = np.roll(changed.loc[tested, "emotion"], 1)
        after = fixed_features.predictions(similar, changed, SPLIT)
        after = after[after["fold"] == fold]
        assert (rows["emotion"].to_numpy() != after["emotion"].to_numpy()).any()
        untouched = ["clip", "predicted", "selected", *EMOTIONS]
        pd.testing.assert_frame_equal(rows[untouched], after[untouched])
