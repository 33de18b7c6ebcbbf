"""Metrics from confusion matrices."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, recall_score

from ser.evaluation.metrics import classification_metrics, confusions
from tests.helpers.constants import MORE
from tests.helpers.fabricated_study import EMOTIONS, fabricate


@given(st.lists(st.tuples(st.sampled_from(EMOTIONS), st.sampled_from(EMOTIONS)), min_size=1, max_size=60))
@settings(max_examples=60 * MORE, deadline=None)
def test_metrics_agree_with_scikit_learn(pairs):
    true, predicted = map(list, zip(*pairs))
    clips = [f"c{i}" for i in range(len(pairs))]
    speakers = [f"emodb-{i % 3}" for i in range(len(pairs))]
    catalogue = pd.DataFrame({"clip": clips, "corpus": "emodb", "speaker": speakers, "emotion": true})
    table = pd.DataFrame({"run": 0, "clip": clips, "emotion": true, "predicted": predicted})
    counts, _ = confusions(table, catalogue, EMOTIONS)
    result = classification_metrics(counts.sum(axis=(0, 1)))
    present = sorted(set(true))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # emotions that are predicted and never true
        expected = {
            "ua": balanced_accuracy_score(true, predicted),
            "wa": accuracy_score(true, predicted),
            "f1": f1_score(true, predicted, labels=present, average="macro", zero_division=0),
        }
        recall = recall_score(true, predicted, labels=present, average=None)
    for metric, value in expected.items():
        assert result[metric] == pytest.approx(value, abs=1e-12)
    occurs = np.isin(EMOTIONS, present)
    np.testing.assert_allclose(result["recall"][occurs], recall, atol=1e-12)
    assert np.isnan(result["recall"][~occurs]).all()


def test_metrics_without_clips_are_not_a_number_and_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = classification_metrics(np.zeros((2, 3, 3)))
    assert all(np.isnan(values).all() for values in result.values())
    assert result["ua"].shape == (2,) and result["recall"].shape == (2, 3)


def test_confusions_are_by_run_and_speaker_and_pool_repeats():
    catalogue, predictions = fabricate(repeats=2, runs=3)
    counts, speakers = confusions(predictions["baseline"], catalogue, EMOTIONS)
    assert counts.shape == (3, 14, 4, 4)
    assert (counts.sum(axis=(2, 3)) == 2 * 12).all()
    assert speakers["corpus"].tolist() == ["emodb"] * 6 + ["ravdess"] * 8
    table = predictions["baseline"]
    mine = table[table["clip"].str.startswith("ravdess/00") & (table["run"] == 1)]
    confused = ((mine["emotion"] == "fear") & (mine["predicted"] == "anger")).sum()
    assert counts[1, speakers["speaker"].tolist().index("ravdess-00"), 1, 0] == confused
