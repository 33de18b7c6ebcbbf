"""Intervals over speakers and runs, and paired differences between arms."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from ser.core.errors import InputError
from ser.evaluation import calibration
from ser.evaluation.metrics import classification_metrics, confusions
from ser.evaluation.resampling import Sample, detectable, detectable_with, holm, p_value, resample, variances
from ser.evaluation.statistics import compare_arms
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


@pytest.mark.parametrize("runs, run_sd", [(5, simulations.RUN), (1, 0.0)])
def test_intervals_and_p_values_hold_what_they_say(runs, run_sd):
    null = simulations.simulate(600, np.random.default_rng(1), runs, run_sd)
    assert 0.90 <= null["coverage"] <= 0.98
    assert 0.90 <= null["coverage of differences"] <= 0.98
    assert 0.03 <= null["found"] <= 0.08
    assert simulations.simulate(50, np.random.default_rng(2), runs, run_sd, gain=0.1)["found"] > 0.9


def test_a_test_over_speakers_alone_raises_false_alarms_where_runs_differ():
    assert simulations.simulate(100, np.random.default_rng(3), runs=1)["found"] > 0.1


def test_with_one_run_the_interval_is_the_percentile_interval_over_speakers():
    catalogue, predictions = fabricate(gain=0.3)
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=300, seed=4)
    draws = resample(["emodb"] * 6 + ["ravdess"] * 8, 300, np.random.default_rng(4))
    ua = {}
    for arm, table in predictions.items():
        counts, _ = confusions(table, catalogue, EMOTIONS)
        ua[arm] = classification_metrics(np.tensordot(draws, counts[0], 1))["ua"]
    for estimate, values in (
        (details["arms"]["augmented"]["overall"]["ua"], ua["augmented"]),
        (details["arms"]["diffusion"]["against"]["augmented"]["ua"], ua["diffusion"] - ua["augmented"]),
    ):
        assert [estimate["low"], estimate["high"]] == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=1e-6)


def crossed(speaker, run, interaction, seed=0):
    """A metric of 400 speakers in three runs, and 2,000 resamples; the effects have these standard deviations."""
    rng = np.random.default_rng(seed)
    draws = resample(["emodb"] * 400, 2000, rng) / 400
    values = speaker * rng.normal(size=(400, 1)) + interaction * rng.normal(size=(400, 3))
    values += run * np.array([-1, 0, 1])
    return Sample(values.mean(axis=0), draws @ values)


def test_variance_of_speakers_runs_and_their_interaction():
    assert variances(crossed(1, 0, 0)) == pytest.approx((1 / 400, 0), rel=0.2)
    assert variances(crossed(0, 1, 0)) == pytest.approx((0, 1 / 3))
    assert variances(crossed(2, 1, 3)) == pytest.approx((4 / 400 + 9 / 1200, 1 / 3), rel=0.3)


def test_p_value_of_one_run_is_that_of_a_t_test():
    gains = np.random.default_rng(0).normal(0.3, 1, 40)
    draws = resample(["emodb"] * 40, 20000, np.random.default_rng(1)) / 40
    p = p_value(Sample(gains.mean(keepdims=True), draws @ gains[:, None]), 39)
    statistic = stats.ttest_1samp(gains, 0).statistic * (40 / 39) ** 0.5  # the bootstrap divides by 40
    assert p == pytest.approx(2 * stats.t.sf(statistic, 39), rel=0.1)


def test_p_value_of_a_difference_that_only_runs_make_is_that_of_a_t_test_over_runs():
    gains = np.array([0.01, 0.03, -0.01, 0.02, 0.04])
    p = p_value(Sample(gains, np.tile(gains, (100, 1))), 32)
    assert p == pytest.approx(stats.ttest_1samp(gains, 0).pvalue)


def test_smallest_detectable_difference_is_2_8_standard_errors():
    catalogue, predictions = fabricate()
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=2000)
    against = details["arms"]["augmented"]["against"]["baseline"]
    # a normal interval is 2 x 1.96 standard errors wide
    assert against["detectable"] == pytest.approx(2.8 * (against["ua"]["high"] - against["ua"]["low"]) / 3.92, rel=0.1)
    gains = np.array([0.01, 0.03, 0.05])
    assert detectable(Sample(gains, np.tile(gains, (100, 1)))) == pytest.approx(2.8 * 0.02 / 3**0.5)


def test_more_runs_lower_the_smallest_detectable_difference_to_what_speakers_allow():
    difference = crossed(2, 1, 3)
    of_speakers = detectable_with(10**9, difference)
    assert of_speakers == pytest.approx(2.8 * (4 / 400) ** 0.5, rel=0.2)
    for runs in (1, 2, 10):
        of_runs = 2.8 * (difference.observed.var(ddof=1) / runs) ** 0.5
        assert detectable_with(runs, difference) == pytest.approx(np.hypot(of_speakers, of_runs))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("effects", [(2, 1, 3), (2, 0, 0), (0, 1, 0), (0, 0, 3)])
def test_with_the_runs_measured_the_smallest_detectable_difference_is_that_of_the_study(effects, seed):
    difference = crossed(*effects, seed)
    assert detectable_with(3, difference) == pytest.approx(detectable(difference))


def test_one_run_does_not_show_what_more_of_them_would_detect():
    gains = np.random.default_rng(0).normal(size=(100, 1))
    assert detectable(Sample(gains[0], gains)) and detectable_with(5, Sample(gains[0], gains)) is None


def test_equal_runs_count_once():
    catalogue, predictions = fabricate(gain=0.2)
    _, one = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    tripled = {
        arm: pd.concat([table.assign(run=run) for run in range(3)], ignore_index=True)
        for arm, table in predictions.items()
    }
    _, three = compare_arms(tripled, catalogue, EMOTIONS, "speaker", resamples=200)
    for arm, expected in one["arms"].items():
        metrics = three["arms"][arm]
        assert metrics["overall"].pop("run_sd") == 0 and expected["overall"].pop("run_sd") is None
        assert metrics["ensemble"]["overall"].pop("run_sd") is None
        assert metrics["ensemble"] == {key: expected[key] for key in ("overall", "corpora", "against")}
        assert "ensemble" not in expected
        for difference in expected["against"].values():
            assert set(difference["detectable_with"].values()) == {None}
            difference["detectable_with"] = dict.fromkeys(difference["detectable_with"], difference["detectable"])
        for key in ("overall", "corpora", "against", "groups", "speakers"):
            assert metrics[key] == expected[key]
    assert one["runs"] == 1 and three["runs"] == 3


def test_metrics_are_means_over_runs_and_their_intervals_allow_for_them():
    catalogue, predictions = fabricate(runs=3)
    table = predictions["augmented"]
    table.loc[table["run"] == 2, "predicted"] = table.loc[table["run"] == 2, "emotion"]  # a run without errors
    summary, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=1000)
    overall = details["arms"]["augmented"]["overall"]
    ua = [balanced_accuracy_score(run["emotion"], run["predicted"]) for _, run in table.groupby("run")]
    assert summary["augmented"]["ua"] == overall["ua"]["value"] == pytest.approx(np.mean(ua), abs=1e-6)
    assert overall["run_sd"] == pytest.approx(np.std(ua, ddof=1), abs=1e-6)
    baseline = details["arms"]["baseline"]["overall"]["ua"]
    assert overall["ua"]["high"] - overall["ua"]["low"] > 3 * (baseline["high"] - baseline["low"])
    assert overall["ua"]["low"] >= 0 and overall["ua"]["high"] <= 1
    against = details["arms"]["augmented"]["against"]["baseline"]
    assert against["p"] > 0.05
    assert against["detectable"] > 2 * details["arms"]["diffusion"]["against"]["baseline"]["detectable"]
    assert list(against["detectable_with"]) == ["1", "2", "3", "5", "10"]
    assert against["detectable_with"]["3"] == against["detectable"] > against["detectable_with"]["5"]
    assert np.sum(details["arms"]["augmented"]["confusion"]) == 3 * details["clips"]


def test_an_ensemble_is_the_mean_probability_and_is_compared_with_ensembles():
    catalogue, predictions = fabricate(runs=4, repeats=2)
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    ua = {}
    for arm, table in predictions.items():
        runs = [run.set_index(["repeat", "clip"]) for _, run in table.groupby("run")]
        probability = sum(run[EMOTIONS].sort_index() for run in runs)
        emotion = runs[0]["emotion"].sort_index()
        ua[arm] = balanced_accuracy_score(emotion, np.array(EMOTIONS)[probability.to_numpy().argmax(axis=1)])
        assert details["arms"][arm]["ensemble"]["overall"]["ua"]["value"] == pytest.approx(ua[arm], abs=1e-6)
        assert ua[arm] > details["arms"][arm]["overall"]["ua"]["value"] + 0.05
    against = details["arms"]["diffusion"]["ensemble"]["against"]["augmented"]
    assert against["ua"]["value"] == pytest.approx(ua["diffusion"] - ua["augmented"], abs=1e-6)
    assert 0 < against["p"] <= against["p_corrected"] <= 1


def test_groups_and_speakers():
    catalogue, predictions = fabricate(runs=2)
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    metrics = details["arms"]["diffusion"]
    table = predictions["diffusion"].merge(catalogue, on=["clip", "emotion"])

    def expected(rows):
        return np.mean([balanced_accuracy_score(run["emotion"], run["predicted"]) for _, run in rows.groupby("run")])

    assert {column: list(groups) for column, groups in metrics["groups"].items()} == {
        "sex": ["female", "male"],
        "intensity": ["normal", "strong"],
    }
    for column, groups in metrics["groups"].items():
        for value, estimate in groups.items():
            assert estimate["value"] == pytest.approx(expected(table[table[column] == value]), abs=1e-6)
            assert estimate["low"] < estimate["value"] < estimate["high"]
    assert list(metrics["speakers"]) == sorted(catalogue["speaker"].unique())
    for speaker, ua in metrics["speakers"].items():
        assert ua == pytest.approx(expected(table[table["speaker"] == speaker]), abs=1e-6)


def test_a_group_of_all_clips_is_none_and_one_of_a_single_speaker_has_no_interval():
    catalogue, predictions = fabricate(arms=("baseline",))
    catalogue["intensity"] = "normal"
    catalogue["sex"] = np.where(catalogue["speaker"] == "emodb-00", "male", "female")
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    groups = details["arms"]["baseline"]["groups"]
    assert list(groups) == ["sex"]
    assert groups["sex"]["male"]["low"] is None and groups["sex"]["female"]["low"] is not None


def test_predictions_without_probabilities_have_no_calibration():
    catalogue, predictions = fabricate(arms=("baseline",))
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=10)
    assert details["arms"]["baseline"]["calibration"] == calibration.describe(predictions["baseline"], EMOTIONS)
    only_classes = {"baseline": predictions["baseline"].drop(columns=EMOTIONS)}
    _, details = compare_arms(only_classes, catalogue, EMOTIONS, "speaker", resamples=10)
    assert details["arms"]["baseline"]["calibration"] is None


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
    catalogue, predictions = fabricate(speakers=(("own", 1),), runs=2)
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    against = details["arms"]["augmented"]["against"]["baseline"]
    assert against["p"] == 1 and against["detectable"] is None
    assert set(against["detectable_with"].values()) == {None}
    assert "[" not in tables.table(details).splitlines()[2]


def test_the_order_of_rows_does_not_matter_and_the_seed_does():
    catalogue, predictions = fabricate(runs=2)
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
    catalogue, predictions = fabricate(runs=2)
    predictions["augmented"] = predictions["augmented"].iloc[:-1]
    with pytest.raises(InputError, match="'augmented' has no prediction of clip 'ravdess/07-11' in repeat 0, run 1"):
        compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=10)


@pytest.mark.parametrize("column", ["clip", "emotion"])
def test_predictions_must_agree_with_the_catalogue(column):
    catalogue, predictions = fabricate()
    catalogue.loc[3, column] = {"clip": "emodb/other", "emotion": "anger"}[column]
    with pytest.raises(InputError, match="clip 'emodb/00-03' with emotion sadness, the catalogue does not"):
        compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=10)
