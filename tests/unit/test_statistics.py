import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    recall_score,
)

from ser.core.errors import InputError
from ser.evaluation.metrics import classification_metrics, confusions
from ser.evaluation.predictions import learning_curves, read_curves, read_predictions
from ser.evaluation.statistics import compare_arms, holm, permutation_p, resample
from ser.reporting import tables
from tests.conftest import MORE
from tests.helpers import simulations

EMOTIONS = ["anger", "fear", "neutral", "sadness"]


def fabricate(
    arms=("baseline", "masked", "diffusion"),
    speakers=(("emodb", 6), ("ravdess", 8)),
    clips=12,
    repeats=1,
    gain=0.0,
    seed=0,
):
    """A catalogue and the predictions of each arm, one more `gain` of skill for each arm in turn."""
    rng = np.random.default_rng(seed)
    catalogue = pd.DataFrame(
        [
            (f"{corpus}/{speaker:02d}-{clip:02d}", corpus, f"{corpus}-{speaker:02d}", EMOTIONS[clip % 4])
            for corpus, count in speakers
            for speaker in range(count)
            for clip in range(clips)
        ],
        columns=["clip", "corpus", "speaker", "emotion"],
    )
    truth = catalogue["emotion"].map(EMOTIONS.index).to_numpy()
    predictions = {}
    for index, arm in enumerate(arms):
        tables = []
        for repeat in range(repeats):
            logits = rng.normal(size=(len(catalogue), len(EMOTIONS)))
            logits[np.arange(len(truth)), truth] += 1 + gain * index
            probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            table = pd.DataFrame(
                {
                    "repeat": repeat,
                    "fold": truth % 2,
                    "clip": catalogue["clip"],
                    "emotion": catalogue["emotion"],
                    "predicted": np.array(EMOTIONS)[probability.argmax(axis=1)],
                }
            )
            table[EMOTIONS] = probability
            tables.append(table)
        predictions[arm] = pd.concat(tables, ignore_index=True)
    return catalogue, predictions


@given(st.lists(st.tuples(st.sampled_from(EMOTIONS), st.sampled_from(EMOTIONS)), min_size=1, max_size=60))
@settings(max_examples=60 * MORE, deadline=None)
def test_metrics_agree_with_scikit_learn(pairs):
    true, predicted = map(list, zip(*pairs))
    clips = [f"c{i}" for i in range(len(pairs))]
    speakers = [f"emodb-{i % 3}" for i in range(len(pairs))]
    catalogue = pd.DataFrame({"clip": clips, "corpus": "emodb", "speaker": speakers, "emotion": true})
    counts, _ = confusions(pd.DataFrame({"clip": clips, "emotion": true, "predicted": predicted}), catalogue, EMOTIONS)
    result = classification_metrics(counts.sum(axis=0))
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


def test_confusions_are_by_speaker_and_pool_repeats():
    catalogue, predictions = fabricate(repeats=2)
    counts, speakers = confusions(predictions["baseline"], catalogue, EMOTIONS)
    assert counts.shape == (14, 4, 4)
    assert (counts.sum(axis=(1, 2)) == 2 * 12).all()
    assert speakers["corpus"].tolist() == ["emodb"] * 6 + ["ravdess"] * 8
    table = predictions["baseline"]
    mine = table[table["clip"].str.startswith("ravdess/00")]
    confused = ((mine["emotion"] == "fear") & (mine["predicted"] == "anger")).sum()
    assert counts[speakers["speaker"].tolist().index("ravdess-00"), 1, 0] == confused


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
    ours, _ = confusions(predictions["masked"], catalogue, EMOTIONS)
    theirs, _ = confusions(predictions["baseline"], catalogue, EMOTIONS)
    signs = np.random.default_rng(0).choice([-1, 1], size=(400, len(ours)))

    def difference(sign):
        swap = (sign < 0)[:, None, None]
        first, second = np.where(swap, theirs, ours), np.where(swap, ours, theirs)
        return classification_metrics(first.sum(axis=0))["ua"] - classification_metrics(second.sum(axis=0))["ua"]

    observed = abs(difference(np.ones(len(ours))))
    extreme = sum(abs(difference(sign)) >= observed - 1e-12 for sign in signs)
    assert permutation_p(ours, theirs, signs) == (1 + extreme) / 401


def test_p_of_equal_arms_is_one():
    catalogue, predictions = fabricate(arms=("baseline",))
    _, details = compare_arms(
        {"baseline": predictions["baseline"], "masked": predictions["baseline"]},
        catalogue,
        EMOTIONS,
        "speaker",
        resamples=200,
    )
    against = details["arms"]["masked"]["against"]["baseline"]
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
    assert summary["baseline"]["ua"] < summary["masked"]["ua"] < summary["diffusion"]["ua"]
    against = details["arms"]["diffusion"]["against"]
    assert list(against) == ["baseline", "masked"]
    assert against["baseline"]["ua"]["low"] > 0 and against["baseline"]["p_corrected"] < 0.01
    assert against["baseline"]["p_corrected"] == pytest.approx(2 * against["baseline"]["p"], abs=1e-6)
    assert against["masked"]["p_corrected"] == against["masked"]["p"]
    assert list(details["arms"]["masked"]["against"]) == ["baseline"]
    assert details["arms"]["baseline"]["against"] == {}


def test_compare_reports_each_corpus_as_if_it_were_alone():
    catalogue, predictions = fabricate()
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    table = predictions["diffusion"]
    part = table[table["clip"].str.startswith("emodb")]
    figures = details["arms"]["diffusion"]["corpora"]["emodb"]
    expected = balanced_accuracy_score(part["emotion"], part["predicted"])
    assert figures["ua"]["value"] == pytest.approx(expected, abs=1e-6)
    assert figures["ua"]["low"] < figures["ua"]["value"] < figures["ua"]["high"]
    assert list(figures["recall"]) == EMOTIONS
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
    own = details["arms"]["masked"]["corpora"]["own"]
    assert own["ua"]["low"] is None and own["ua"]["high"] is None
    assert details["arms"]["masked"]["overall"]["ua"]["low"] is not None
    catalogue, predictions = fabricate(speakers=(("own", 1),))
    _summary, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
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
    table = predictions["masked"]
    assert details["repeats"] == 3 and details["clips"] == 168
    expected = accuracy_score(table["emotion"], table["predicted"])
    assert summary["masked"]["wa"] == pytest.approx(expected, abs=1e-6)
    assert "3 repeats" in tables.caption(details)


def test_arms_must_have_been_tested_on_the_same_clips():
    catalogue, predictions = fabricate()
    predictions["masked"] = predictions["masked"].iloc[:-1]
    with pytest.raises(InputError, match="'masked' has no prediction of clip 'ravdess/07-11' in repeat 0"):
        compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=10)


@pytest.mark.parametrize("column", ["clip", "emotion"])
def test_predictions_must_agree_with_the_catalogue(column):
    catalogue, predictions = fabricate()
    catalogue.loc[3, column] = {"clip": "emodb/other", "emotion": "anger"}[column]
    with pytest.raises(InputError, match="clip 'emodb/00-03' with emotion sadness, the catalogue does not"):
        compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=10)


def test_table_of_a_leaking_protocol_says_so():
    catalogue, predictions = fabricate()
    _summary, details = compare_arms(predictions, catalogue, EMOTIONS, "random", resamples=200)
    assert details["leaks"] is True
    assert "(leaks: test speakers are in training)" in tables.table(details)
    _, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    assert details["leaks"] is False
    assert "leaks" not in tables.table(details)


def test_table_shows_the_figures_in_per_cent():
    catalogue, predictions = fabricate()
    _summary, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    lines = tables.table(details).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:5]] == ["baseline", "masked", "diffusion"]
    ua = details["arms"]["diffusion"]["overall"]["ua"]
    assert f"{100 * ua['value']:.1f} [{100 * ua['low']:.1f}, {100 * ua['high']:.1f}]" in lines[4]
    assert len({len(line) for line in lines[:5]}) == 1
    assert "168 clips of 14 speakers (emodb 6, ravdess 8); speakers apart." in lines[-1]


def test_table_without_arms_to_compare_with():
    catalogue, predictions = fabricate(arms=("baseline",), speakers=(("demo", 4),))
    _summary, details = compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=200)
    text = tables.table(details)
    assert "vs" not in text and "Holm" not in text
    assert "4 speakers (demo)" in text and "says nothing about people" in text


def write(tmp_path, change):
    _, predictions = fabricate(arms=("baseline",))
    table = predictions["baseline"].astype({"repeat": object, "anger": object})
    path = tmp_path / "baseline.csv"
    change(table).to_csv(path, index=False)
    return path


def put(row, **values):
    def change(table):
        for column, value in values.items():
            table.loc[row, column] = value
        return table

    return change


def test_predictions_survive_the_file(tmp_path):
    path = write(tmp_path, lambda table: table.round(dict.fromkeys(EMOTIONS, 4)))
    table = read_predictions(path, EMOTIONS)
    assert len(table) == 168 and table["fear"].dtype == float and table["repeat"].dtype == int


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda table: table.drop(columns="fear"), "no column fear; expected repeat, fold, clip"),
        (lambda table: table.iloc[:0], "holds no rows"),
        (put(4, anger=""), "line 6: anger is not a finite number"),
        (put(4, anger="inf"), "line 6: anger is not a finite number"),
        (put(4, repeat="first"), "line 6: repeat is not a finite number"),
        (put(2, anger=-0.2), "line 4: a probability lies outside 0..1"),
        (put(2, anger=0.5, fear=0.5, neutral=0.5, sadness=0), "line 4: the probabilities do not sum to 1"),
        (put(0, emotion="joy"), "line 2: emotion is not one of anger, fear, neutral, sadness"),
        (put(0, predicted=""), "line 2: predicted is not one of anger"),
        (
            put(1, predicted="fear", anger=0.7, fear=0.3, neutral=0, sadness=0),
            "line 3: predicted is not the most probable",
        ),
        (put(5, clip="emodb/00-00"), "line 7: this clip was already predicted in this repeat"),
    ],
)
def test_bad_predictions(tmp_path, change, message):
    path = write(tmp_path, change)
    with pytest.raises(InputError) as error:
        read_predictions(path, EMOTIONS)
    assert str(error.value).startswith(str(path)) and message in str(error.value)


@pytest.mark.parametrize("content", [b"", b'a,b\n1,"2\n', b"\xff\xfe\x00,"])
def test_files_that_are_no_tables(tmp_path, content):
    path = tmp_path / "baseline.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a readable CSV file|no column"):
        read_predictions(path, EMOTIONS)


def history(*rows):
    table = pd.DataFrame(rows, columns=["repeat", "fold", "epoch", "validation_ua"])
    return table.assign(train_loss=1.0, validation_loss=1.0)


def test_learning_curves_hold_the_last_value_of_a_run_that_stopped():
    curves = learning_curves(
        {
            "baseline": history((0, 0, 1, 0.2), (0, 0, 2, 0.4), (0, 1, 1, 0.4), (0, 1, 2, 0.6), (0, 1, 3, 0.8)),
            "masked": history((0, 0, 1, 0.5)),
        }
    )
    assert curves.columns.tolist() == ["arm", "epoch", "ua"]
    assert curves["arm"].tolist() == ["baseline"] * 3 + ["masked"]
    assert curves["epoch"].tolist() == [1, 2, 3, 1]
    np.testing.assert_allclose(curves["ua"], [0.3, 0.5, 0.6, 0.5])


def test_bad_curves(tmp_path):
    path = tmp_path / "masked.csv"
    history((0, 0, 1, 0.2), (0, 0, 1, 0.3)).to_csv(path, index=False)
    with pytest.raises(InputError, match="masked.csv, line 3: this epoch of this fold was already listed"):
        read_curves(path)


def test_quality_table_has_the_reference_and_a_row_a_generator(quality):
    lines = tables.quality_table(quality).splitlines()
    header, _, real, diffusion, vae, *_ = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert header[:2] == ["clips", "Fréchet"] and len({len(line) for line in lines[:5]}) == 1
    column = header.index("recognised %")
    for row, (name, side) in zip(
        (real, diffusion, vae),
        (
            ("real", quality["diffusion"]["reference"]),
            ("diffusion", quality["diffusion"]["synthetic"]),
            ("vae", quality["vae"]["synthetic"]),
        ),
    ):
        assert row[0] == name and row[column] == f"{100 * side['recognised']:.1f}"
    assert vae[header.index("kernel")] == ""
    assert lines[-1] == tables.QUALITY_NOTE
