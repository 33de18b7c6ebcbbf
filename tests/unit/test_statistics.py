"""Intervals over speakers, and paired differences between arms."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from ser.core.errors import InputError
from ser.evaluation.metrics import classification_metrics, confusions
from ser.evaluation.statistics import compare_arms, holm, permutation_p, resample
from ser.reporting import tables
from tests.helpers import simulations
from tests.helpers.fabricated_study import EMOTIONS, fabricate


def test_resamples_keep_the_size_of_each_corpus():
    corpora = np.array(["emodb"] * 6 + ["ravdess"] * 8)
    draws = resample(corpora, 500, np.random.default_rng(0))
    assert (draws[:, corpora == "emodb"].sum(axis=1) == 6).all()
    assert (draws[:, corpora == "ravdess"].sum(axis=1) == 8).all()
    assert draws.mean() == pytest.approx(1) and draws.max() > 1
    assert draws.mean(axis=0) == pytest.approx(np.ones(14), abs=0.2)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    assert 0.90 <= simulations.coverage(300, np.random.default_rng(3)) <= 0.98


def test_permutation_p_is_uniform_under_the_null_and_small_for_a_real_effect():
    null = simulations.p_values(300, np.random.default_rng(1))
    assert np.mean(null) == pytest.approx(0.5, abs=0.06)
    assert np.mean(null <= 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.median(simulations.p_values(300, np.random.default_rng(2), gain=6)) < 0.01


def test_permutation_p_equals_swapping_the_confusions():
    catalogue, predictions = fabricate(gain=0.3)
    counts, _ = confusions(predictions["augmented"], catalogue, EMOTIONS)
    reference_counts, _ = confusions(predictions["baseline"], catalogue, EMOTIONS)
    signs = np.random.default_rng(0).choice([-1, 1], size=(400, len(counts)))

    def difference(sign):
        swap = (sign < 0)[:, None, None]
        first, second = np.where(swap, reference_counts, counts), np.where(swap, counts, reference_counts)
        return classification_metrics(first.sum(axis=0))["ua"] - classification_metrics(second.sum(axis=0))["ua"]

    observed = abs(difference(np.ones(len(counts))))
    extreme = sum(abs(difference(sign)) >= observed - 1e-12 for sign in signs)
    assert permutation_p(counts, reference_counts, signs) == (1 + extreme) / 401


def test_p_of_equal_arms_is_one():
    catalogue, predictions = fabricate(arms=("baseline",))
    _, details = compare_arms(
        {"baseline": predictions["baseline"], "augmented": predictions["baseline"]},
        catalogue,
        EMOTIONS,
        "speaker",
        resamples=200,
    )
    against = details["arms"]["augmented"]["against"]["baseline"]
    assert against["ua"] == {"value": 0, "low": 0, "high": 0}
    assert against["p"] == against["p_corrected"] == 1


def test_holm_by_hand():
    # sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, then the running maximum
    np.testing.assert_allclose(holm([0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.9, 0.6]), [1, 1])
    np.testing.assert_allclose(holm([0.03]), [0.03])
    assert holm([]).size == 0


def test_compare_finds_a_planted_gain_and_its_interval_excludes_zero():
    catalogue, predictions = fabricate(gain=0.8, clips=40)
    summary, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=1000)
    assert summary["baseline"]["ua"] < summary["augmented"]["ua"] < summary["diffusion"]["ua"]
    against = details["arms"]["diffusion"]["against"]
    assert list(against) == ["baseline", "augmented"]
    assert against["baseline"]["ua"]["low"] > 0 and against["baseline"]["p_corrected"] < 0.01
    assert against["baseline"]["p_corrected"] == pytest.approx(2 * against["baseline"]["p"], abs=1e-6)
    assert against["augmented"]["p_corrected"] == against["augmented"]["p"]
    assert list(details["arms"]["augmented"]["against"]) == ["baseline"]
    assert details["arms"]["baseline"]["against"] == {}


def test_all_others_are_compared_with_baseline_and_all_but_baseline_with_augmented():
    catalogue, predictions = fabricate(arms=("baseline", "masked", "augmented", "diffusion"), gain=0.3)
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    against = {arm: list(result["against"]) for arm, result in details["arms"].items()}
    assert against == {
        "baseline": [],
        "masked": ["baseline", "augmented"],
        "augmented": ["baseline"],
        "diffusion": ["baseline", "augmented"],
    }
    for reference, others in {
        "baseline": ["masked", "augmented", "diffusion"],
        "augmented": ["masked", "diffusion"],
    }.items():
        p = {arm: details["arms"][arm]["against"][reference] for arm in others}
        expected = holm([p[arm]["p"] for arm in others])
        assert [p[arm]["p_corrected"] for arm in others] == pytest.approx(expected, abs=1e-5)
        for arm in others:
            difference = (
                details["arms"][arm]["overall"]["ua"]["value"] - details["arms"][reference]["overall"]["ua"]["value"]
            )
            assert p[arm]["ua"]["value"] == pytest.approx(difference, abs=2e-6)


def test_without_augmented_arms_are_compared_with_baseline_alone():
    catalogue, predictions = fabricate(arms=("baseline", "masked", "diffusion"))
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    assert [list(result["against"]) for result in details["arms"].values()] == [[], ["baseline"], ["baseline"]]


def test_compare_reports_each_corpus_as_if_it_were_alone():
    catalogue, predictions = fabricate()
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    table = predictions["diffusion"]
    part = table[table["clip"].str.startswith("emodb")]
    metrics = details["arms"]["diffusion"]["corpora"]["emodb"]
    expected = balanced_accuracy_score(part["emotion"], part["predicted"])
    assert metrics["ua"]["value"] == pytest.approx(expected, abs=1e-6)
    assert metrics["ua"]["low"] < metrics["ua"]["value"] < metrics["ua"]["high"]
    assert list(metrics["recall"]) == EMOTIONS
    assert details["corpora"]["emodb"] == {"clips": 72, "speakers": 6}
    assert details["corpora"]["ravdess"] == {"clips": 96, "speakers": 8}
    assert np.sum(details["arms"]["diffusion"]["confusion"]) == details["clips"] == 168


def test_emotions_that_a_corpus_or_a_resample_lacks():
    catalogue, predictions = fabricate()
    # ravdess has no sadness; in emodb one speaker alone has it, so that many resamples have none at all
    lacking = ((catalogue["emotion"] == "sadness") & (catalogue["speaker"] != "emodb-00")).to_numpy()
    catalogue = catalogue[~lacking]
    predictions = {arm: table[~lacking] for arm, table in predictions.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=500)
    result = details["arms"]["baseline"]
    assert "sadness" not in result["corpora"]["ravdess"]["recall"]
    part = predictions["baseline"][predictions["baseline"]["clip"].str.startswith("ravdess")]
    expected = recall_score(part["emotion"], part["predicted"], labels=EMOTIONS[:3], average="macro")
    assert result["corpora"]["ravdess"]["ua"]["value"] == pytest.approx(expected, abs=1e-6)
    assert result["corpora"]["emodb"]["recall"]["sadness"]["low"] is not None


def test_no_interval_from_a_single_speaker():
    catalogue, predictions = fabricate(speakers=(("emodb", 6), ("own", 1)))
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    own = details["arms"]["augmented"]["corpora"]["own"]
    assert own["ua"]["low"] is None and own["ua"]["high"] is None
    assert details["arms"]["augmented"]["overall"]["ua"]["low"] is not None
    catalogue, predictions = fabricate(speakers=(("own", 1),))
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    assert "[" not in tables.table(details).splitlines()[2]


def test_the_order_of_rows_does_not_matter_and_the_seed_does():
    catalogue, predictions = fabricate()
    expected = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200, seed=5)
    shuffled = {arm: table.sample(frac=1, random_state=len(arm)) for arm, table in predictions.items()}
    mixed = catalogue.sample(frac=1, random_state=9)
    assert compare_arms(shuffled, mixed, EMOTIONS, "speaker", resamples=200, seed=5) == expected
    assert compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200, seed=6) != expected


def test_repeats_are_pooled_and_counted():
    catalogue, predictions = fabricate(repeats=3)
    summary, details = compare_arms(predictions, catalogue, EMOTIONS, "loso", resamples=200)
    table = predictions["augmented"]
    assert details["repeats"] == 3 and details["clips"] == 168
    expected = accuracy_score(table["emotion"], table["predicted"])
    assert summary["augmented"]["wa"] == pytest.approx(expected, abs=1e-6)
    assert "3 repeats" in tables.caption(details)


def test_arms_must_have_been_tested_on_the_same_clips():
    catalogue, predictions = fabricate()
    predictions["augmented"] = predictions["augmented"].iloc[:-1]
    with pytest.raises(InputError, match="'augmented' has no prediction of clip 'ravdess/07-11' in repeat 0"):
        compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=10)


@pytest.mark.parametrize("column", ["clip", "emotion"])
def test_predictions_must_agree_with_the_catalogue(column):
    catalogue, predictions = fabricate()
    catalogue.loc[3, column] = {"clip": "emodb/other", "emotion": "anger"}[column]
    with pytest.raises(InputError, match="clip 'emodb/00-03' with emotion sadness, the catalogue does not"):
        compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=10)
