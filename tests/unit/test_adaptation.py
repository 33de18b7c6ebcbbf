"""The speaker-adapted protocol, on posteriors with a planted bias per speaker."""

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from ser.core import params
from ser.core.errors import InputError
from ser.evaluation import adaptation
from ser.evaluation.adaptation import METHODS, mean_bias, pools_by_emotion, pools_by_size, speaker_adapted, uniform_bias
from ser.reporting import adaptation as report
from ser.reporting import figures
from stages import adapt

EMOTIONS = ["anger", "fear", "neutral", "sadness"]
SPEAKERS = {"emodb": 6, "ravdess": 8}


def study(bias=2.0, skill=3.0, clips=None, speakers=None, runs=2, folds=2, arms=("baseline", "augmented"), seed=0):
    """A catalogue and predictions with a bias of `bias` (standard deviation) on each logit of a speaker.

    `clips` is the number of clips per emotion and speaker.
    """
    rng = np.random.default_rng(seed)
    clips = clips or dict.fromkeys(EMOTIONS, 8)
    catalogue = pd.DataFrame(
        [
            (f"{corpus}/{speaker}-{emotion}-{take}", corpus, f"{corpus}-{speaker}", emotion)
            for corpus, count in (speakers or SPEAKERS).items()
            for speaker in range(count)
            for emotion in EMOTIONS
            for take in range(clips.get(emotion, 0))
        ],
        columns=["clip", "corpus", "speaker", "emotion"],
    )
    truth = catalogue["emotion"].map(EMOTIONS.index).to_numpy()
    number, _ = pd.factorize(catalogue["speaker"])
    bias_of_speaker = bias * rng.normal(size=(number.max() + 1, len(EMOTIONS)))
    predictions = {}
    for arm in arms:
        tables = []
        for run in range(runs):
            logits = rng.normal(size=(len(truth), len(EMOTIONS))) + skill * np.eye(len(EMOTIONS))[truth]
            logits += bias_of_speaker[number]
            table = catalogue[["clip", "emotion"]].assign(repeat=0, fold=number % folds, run=run)
            tables.append(with_posteriors(table, logits))
        predictions[arm] = pd.concat(tables, ignore_index=True)
    return catalogue, predictions


def with_posteriors(table, logits):
    posteriors = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    columns = dict(zip(EMOTIONS, posteriors.T.round(6), strict=True))
    return table.assign(predicted=np.array(EMOTIONS)[posteriors.argmax(axis=1)], **columns)


def adapted(catalogue, predictions, **options):
    return speaker_adapted(predictions, catalogue, EMOTIONS, "speaker", **{"resamples": 300} | options)


@cache
def biased():
    return adapted(*study())


@cache
def unbiased():
    return adapted(*study(bias=0))


def log_posteriors(clips=12, runs=2, seed=0):
    return np.log(np.random.default_rng(seed).dirichlet(np.ones(4), (runs, clips)))


def test_uncorrected_is_the_mean_ua_over_runs():
    _, predictions = study()
    for arm, table in predictions.items():
        of_runs = [balanced_accuracy_score(run["emotion"], run["predicted"]) for _, run in table.groupby("run")]
        assert biased()["arms"][arm]["uncorrected"]["ua"]["value"] == pytest.approx(np.mean(of_runs), abs=1e-6)
    assert (biased()["runs"], biased()["speakers"], biased()["clips"]) == (2, 14, 14 * 32)
    assert biased()["corpora"]["emodb"] == {"clips": 6 * 32, "speakers": 6}


@pytest.mark.parametrize("method", METHODS)
def test_a_balanced_pool_removes_a_planted_bias(method):
    results, without_bias = (each["arms"]["baseline"] for each in (biased(), unbiased()))
    full, half = (results["pool_size"][method][strength]["all"] for strength in ("full", "half"))
    assert full["difference"]["low"] > half["difference"]["value"] * 0.5 > 0.03
    assert full["difference"]["value"] > half["difference"]["value"]
    assert full["ua"]["value"] == pytest.approx(without_bias["uncorrected"]["ua"]["value"], abs=0.03)
    assert full["difference"]["value"] == pytest.approx(
        full["ua"]["value"] - results["uncorrected"]["ua"]["value"], abs=2e-6
    )


def test_the_gain_grows_with_the_pool():
    gains = [each["difference"]["value"] for each in biased()["arms"]["baseline"]["pool_size"]["mean"]["full"].values()]
    assert len(gains) == 6
    assert gains[0] < gains[1] < gains[2] < gains[-1]


@pytest.mark.parametrize("method", METHODS)
def test_a_skewed_pool_costs_accuracy_and_less_at_half_strength(method):
    results = unbiased()["arms"]["baseline"]["pool_emotions"][method]
    one, two, three, everything = (each["difference"]["value"] for each in results["full"].values())
    assert one < two < three < everything
    assert results["full"]["1"]["difference"]["high"] < -0.1
    assert one < results["half"]["1"]["difference"]["value"] < 0
    assert abs(everything) < 0.03


def test_the_mean_over_a_pool_by_hand():
    values = log_posteriors(clips=3, runs=1)
    pools = np.array([[[0, 1, 1], [1, 0, 0], [1, 0, 0]]])
    bias = mean_bias(values, pools)
    assert bias.shape == (1, 1, 3, 4)
    np.testing.assert_allclose(bias[0, 0, 0], (values[0, 1] + values[0, 2]) / 2)
    np.testing.assert_allclose(bias[0, 0, 1:], values[0, [0, 0]])


def test_matching_makes_the_mean_posterior_over_the_pool_uniform():
    values = log_posteriors(clips=30)
    pools = pools_by_size(30, np.random.default_rng(0))["20"]
    bias = uniform_bias(values, pools)
    corrected = np.exp(values[:, None, None] - bias[..., None, :])  # [runs, draws, clips, clips of the pool, classes]
    corrected /= corrected.sum(axis=-1, keepdims=True)
    mean = np.einsum("dij,rdijc->rdic", pools, corrected) / 20
    np.testing.assert_allclose(mean, 1 / 4, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["size", "emotion"])
def test_a_clip_has_no_influence_on_its_own_correction(method, kind):
    values, rng = log_posteriors(), np.random.default_rng(0)
    pools = pools_by_size(12, rng) if kind == "size" else pools_by_emotion(np.arange(12) % 4, 4, rng)
    altered = values.copy()
    altered[:, 5] = np.log([0.97, 0.01, 0.01, 0.01])
    for pool in pools.values():
        before, after = METHODS[method](values, pool), METHODS[method](altered, pool)
        np.testing.assert_array_equal(before[:, :, 5], after[:, :, 5])
        assert not np.allclose(before, after)


def test_pools_are_random_other_clips_and_larger_ones_hold_smaller_ones():
    pools = pools_by_size(30, np.random.default_rng(0))
    assert list(pools) == ["2", "5", "10", "20", "40", "all"]
    for size, pool in pools.items():
        assert not np.diagonal(pool, axis1=1, axis2=2).any()
        assert (pool.sum(axis=-1) == min(29, float(size if size != "all" else 29))).all()
    assert (pools["2"] <= pools["5"]).all() and (pools["5"] <= pools["20"]).all()
    assert len({pool.tobytes() for pool in pools["2"]}) == adaptation.DRAWS


def test_skewed_pools_hold_all_other_clips_of_so_many_emotions():
    labels = np.array([0] * 5 + [1] * 4 + [2] * 3 + [3])
    pools = pools_by_emotion(labels, 5, np.random.default_rng(0))
    assert list(pools) == ["1", "2", "3"]
    for count, pool in pools.items():
        assert not np.diagonal(pool, axis1=1, axis2=2).any()
        in_pool, others = pool @ np.eye(5)[labels], (1 - np.eye(13)) @ np.eye(5)[labels]
        assert ((in_pool == 0) | (in_pool == others)).all()
        assert ((in_pool > 0).sum(axis=-1) == int(count)).all()
        assert (in_pool[:, np.arange(12), labels[:12]] > 0).all()
        assert not in_pool[:, 12, 3].any()  # the only clip of its emotion
    assert list(pools_by_emotion(labels % 2, 2, np.random.default_rng(0))) == ["1"]


def test_enrolment_removes_a_planted_bias():
    enrolment = biased()["arms"]["baseline"]["enrolment"]
    assert enrolment["full"]["difference"]["low"] > 0.03
    assert enrolment["full"]["difference"]["value"] == pytest.approx(
        enrolment["full"]["ua"]["value"] - enrolment["uncorrected"]["ua"]["value"], abs=2e-6
    )
    assert biased()["enrolment"] == {"emotion": "neutral", "clips": 2, "speakers": 14, "left_out": []}


def test_enrolled_clips_are_not_tested():
    catalogue, predictions = study(clips={"anger": 6, "fear": 6, "neutral": 2, "sadness": 6})
    results = adapted(catalogue, predictions)["arms"]
    for arm, table in predictions.items():
        rest = table[table["emotion"] != "neutral"]
        of_runs = [
            np.mean([(rows["predicted"] == emotion).mean() for emotion, rows in run.groupby("emotion")])
            for _, run in rest.groupby("run")
        ]
        assert results[arm]["enrolment"]["uncorrected"]["ua"]["value"] == pytest.approx(np.mean(of_runs), abs=1e-6)


def test_enrolment_refers_to_speakers_of_other_folds_alone():
    assert adapted(*study(folds=1))["arms"]["baseline"]["enrolment"] is None
    catalogue, predictions = study()
    speaker_of = catalogue.set_index("clip")["speaker"]
    speakers = predictions["baseline"]["clip"].map(speaker_of)
    before = enrolment_of(catalogue, predictions, "emodb-0")
    same_fold = predictions["baseline"]["fold"] == 0
    assert (speakers[same_fold] != "emodb-0").any()
    for altered, same in ((same_fold & (speakers != "emodb-0"), True), (~same_fold, False)):
        table = predictions["baseline"].copy()
        table.loc[altered, EMOTIONS] = [0.1, 0.2, 0.1, 0.6]
        table.loc[altered, "predicted"] = "sadness"
        after = enrolment_of(catalogue, {"baseline": table}, "emodb-0")
        assert (before == after) == same


def enrolment_of(catalogue, predictions, speaker):
    """The UA of one speaker by strength: no other can be enrolled, as all have lost their neutral clips but one."""
    neutral = catalogue[(catalogue["emotion"] == "neutral") & (catalogue["speaker"] != speaker)]
    lost = set(neutral["clip"]) - set(neutral.groupby("speaker")["clip"].first())
    table = predictions["baseline"]
    kept = {"baseline": table[~table["clip"].isin(lost)]}
    results = adapted(catalogue[~catalogue["clip"].isin(lost)], kept)
    assert results["enrolment"]["speakers"] == 1 and speaker not in results["enrolment"]["left_out"]
    return {strength: result["ua"] for strength, result in results["arms"]["baseline"]["enrolment"].items()}


def test_who_cannot_be_enrolled_is_named():
    catalogue, predictions = study()
    lost = catalogue["clip"][(catalogue["emotion"] == "neutral") & (catalogue["corpus"] == "emodb")]
    results = adapted(
        catalogue[~catalogue["clip"].isin(lost)],
        {arm: table[~table["clip"].isin(lost)] for arm, table in predictions.items()},
    )
    assert results["enrolment"]["speakers"] == 8
    assert results["enrolment"]["left_out"] == [f"emodb-{speaker}" for speaker in range(6)]
    assert "left out: emodb-0, emodb-1" in report.table(results)


def test_a_study_without_neutral_clips():
    results = adapted(*study(clips=dict.fromkeys(["anger", "fear", "sadness"], 6)))
    assert results["arms"]["augmented"]["enrolment"] is None
    assert "no speaker has 2 clips labelled neutral" in report.table(results)


def test_a_speaker_with_a_single_clip_is_not_corrected():
    catalogue, predictions = study(clips={"anger": 1}, speakers={"own": 3})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = adapted(catalogue, predictions)["arms"]["baseline"]
    assert results["pool_size"]["uniform"]["full"]["all"]["difference"] == {"value": 0, "low": 0, "high": 0}
    assert results["pool_emotions"]["mean"]["full"]["1"]["ua"] == results["uncorrected"]["ua"]


def test_no_interval_from_a_single_speaker():
    results = adapted(*study(speakers={"own": 1}))["arms"]["baseline"]
    assert results["pool_size"]["mean"]["full"]["all"]["difference"]["low"] is None


def test_neither_the_order_of_rows_nor_other_arms_matter_and_the_seed_does():
    catalogue, predictions = study()
    shuffled = {arm: table.sample(frac=1, random_state=len(arm)) for arm, table in predictions.items()}
    assert adapted(catalogue.sample(frac=1, random_state=1), shuffled) == biased()
    alone = adapted(catalogue, {"augmented": predictions["augmented"]})
    assert alone["arms"]["augmented"] == biased()["arms"]["augmented"]
    again = adapted(catalogue, predictions, seed=1)["arms"]["baseline"]
    assert again["uncorrected"]["ua"]["value"] == biased()["arms"]["baseline"]["uncorrected"]["ua"]["value"]
    assert again["pool_size"]["mean"]["full"]["2"] != biased()["arms"]["baseline"]["pool_size"]["mean"]["full"]["2"]


def test_every_run_of_every_arm_must_be_complete():
    catalogue, predictions = study()
    predictions["augmented"] = predictions["augmented"].iloc[:-1]
    with pytest.raises(InputError, match="'augmented' has no prediction of clip 'ravdess/7-sadness-7'.* run 1"):
        adapted(catalogue, predictions)


@pytest.mark.parametrize("column", ["clip", "emotion"])
def test_predictions_must_agree_with_the_catalogue(column):
    catalogue, predictions = study()
    catalogue.loc[3, column] = {"clip": "emodb/other", "emotion": "sadness"}[column]
    with pytest.raises(InputError, match="clip 'emodb/0-anger-3' with emotion anger, the catalogue does not"):
        adapted(catalogue, predictions)


def test_tables_and_figure_say_that_they_are_not_comparable(tmp_path):
    text = report.table(biased())
    assert text.startswith(report.NOT_COMPARABLE)
    assert "| 2 clips" in text and "| 1 emotion " in text and "| 3 emotions |" in text
    for path in (tmp_path / "a.png", tmp_path / "b.png"):
        figures.save(drawing := report.figure(biased()), path)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    texts = " ".join(text.get_text() for text in drawing.findobj(lambda artist: hasattr(artist, "get_text")))
    assert "Not comparable with the headline" in texts.replace("\n", " ")
    assert all(arm in texts for arm in biased()["arms"])


@pytest.fixture
def project(tmp_path, monkeypatch):
    settings = {
        "study": {
            "arms": ["baseline"],
            "generators": ["vae"],
            "build_on": "baseline",
            "enhanced": [],
            "recognising": [],
            "resamples": 50,
        },
        "emotions": EMOTIONS,
        "split.protocol": "speaker",
        "seed": 3,
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(params, "read", lambda key, kind: params.check(settings[key], kind, key))
    catalogue, predictions = study(arms=("baseline", "vae"), speakers={"emodb": 4}, runs=1)
    columns = {"path": "a.wav", "sex": "female", "text": "a", "intensity": "normal", "seconds": 1.0}
    Path("data").mkdir()
    catalogue.assign(**columns, sample_rate=16000, sha256="0").to_csv("data/catalogue.csv", index=False)
    Path("metrics/predictions").mkdir(parents=True)
    for arm, table in predictions.items():
        table.to_csv(f"metrics/predictions/{arm}.csv", index=False)
    return catalogue, predictions


def test_the_stage_writes_what_can_be_recomputed_from_the_predictions(project, capsys):
    adapt.main()
    results = json.loads(Path("metrics/adapted.json").read_text())
    assert results == adapted(*project, resamples=50, seed=3)
    assert list(results["arms"]) == ["baseline", "vae"]
    assert Path("plots/adapted.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.startswith(report.NOT_COMPARABLE)


def test_a_missing_result_names_the_stage_that_makes_it(project):
    Path("metrics/predictions/vae.csv").unlink()
    with pytest.raises(InputError, match=r"vae.csv is missing.*`dvc repro train_synthetic@vae`"):
        adapt.main()
    assert not Path("metrics/adapted.json").exists()
