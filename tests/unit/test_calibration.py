"""Calibration, and accuracy where unsure clips are rejected."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import calibration_curve

from ser.evaluation import calibration
from tests.helpers.fabricated_study import EMOTIONS, fabricate


def test_reliability_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.25, 1, 500)
    correct = rng.random(500) < confidence
    bins = calibration.reliability(confidence, correct, 10)
    accuracy, mean_confidence = calibration_curve(correct, confidence, n_bins=10)
    np.testing.assert_allclose([one["accuracy"] for one in bins], accuracy)
    np.testing.assert_allclose([one["confidence"] for one in bins], mean_confidence)
    assert sum(one["share"] for one in bins) == pytest.approx(1)


def test_a_bin_includes_its_upper_edge():
    bins = calibration.reliability(np.array([0.5, 0.51, 1.0]), np.array([True, False, True]), 2)
    assert [one["share"] for one in bins] == pytest.approx([1 / 3, 2 / 3])
    assert [one["accuracy"] for one in bins] == [1, 0.5]


def test_calibration_error_by_hand():
    # two of four right at 0.9, in one bin; one of one right at 0.4
    confidence, correct = np.array([0.9, 0.9, 0.9, 0.9, 0.4]), np.array([True, True, False, False, True])
    assert calibration.calibration_error(confidence, correct) == pytest.approx(0.8 * 0.4 + 0.2 * 0.6)


def test_accuracy_of_the_most_confident():
    confidence = np.linspace(0.3, 0.9, 10)
    correct = np.arange(10) >= 4  # the least confident are wrong
    expected = [6 / 10, 6 / 9, 6 / 8, 6 / 7, 6 / 6, 1]
    np.testing.assert_allclose(calibration.accuracy_of_kept(confidence, correct), expected)
    assert calibration.accuracy_of_kept(np.array([0.7]), np.array([True])).tolist() == [1] * 6


def test_errors_and_rejection_are_means_over_runs_and_the_curve_is_pooled():
    _, predictions = fabricate(arms=("baseline",), runs=2)
    table = predictions["baseline"]
    both = calibration.describe(table, EMOTIONS)
    single = [calibration.describe(part, EMOTIONS) for _, part in table.groupby("run")]
    assert both["ece"] == pytest.approx(np.mean([one["ece"] for one in single]), abs=1e-6)
    for number, share in enumerate(calibration.KEPT):
        assert both["rejection"][number]["kept"] == share
        expected = np.mean([one["rejection"][number]["accuracy"] for one in single])
        assert both["rejection"][number]["accuracy"] == pytest.approx(expected, abs=1e-6)
    assert both["rejection"][0]["accuracy"] == pytest.approx((table["predicted"] == table["emotion"]).mean(), abs=1e-6)
    curves = pd.DataFrame(both["reliability"])
    assert (curves["share"] * curves["confidence"]).sum() == pytest.approx(table[EMOTIONS].max(axis=1).mean(), abs=1e-5)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_exaggerated_logits(factor):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (probabilities.cumsum(1) < rng.random((len(logits), 1))).sum(1)
    assert calibration.temperature(factor * logits, labels) == pytest.approx(factor, rel=0.05)


def test_the_threshold_by_hand():
    confidence, correct = np.array([0.5, 0.9, 0.8, 0.6, 0.7]), np.array([False, True, True, True, False])
    assert calibration.threshold(confidence, correct, 1.0) == 0.8
    assert calibration.threshold(confidence, correct, 0.75) == 0.6  # of four, three are right
    assert calibration.threshold(confidence, correct, 0.6) == 0.5
    assert calibration.threshold(confidence, ~correct, 1.0) == 1.0  # the most confident is wrong
