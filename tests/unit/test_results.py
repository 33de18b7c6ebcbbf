"""Tables from invented figures, and the marks that they stand between."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from scripts import ablation, fold_differences, leakage_figure, results, study_tables
from scripts.named import HERE
from ser.core.errors import InputError
from ser.evaluation.statistics import REFERENCES, compare_arms, holm
from ser.reporting import tables
from tests.helpers.project import ROOT
from tests.unit.test_statistics import EMOTIONS, fabricate

ARMS = ("baseline", "masked", "gan", "vae")


def details(protocol="speaker", arms=ARMS, speakers=(("emodb", 4), ("ravdess", 5)), gain=0.3):
    catalogue, predictions = fabricate(arms, speakers, gain=gain)
    return compare_arms(predictions, catalogue, EMOTIONS, protocol, resamples=50)[1]


@pytest.fixture(scope="module")
def default():
    one = dict.fromkeys(tables.QUALITY, 0.5)
    enhanced = details(arms=("baseline", "gan, no label"))
    return details() | {"quality": {"gan": {"reference": one, "synthetic": one, "folds": []}}, "enhanced": enhanced}


def experiment(name):
    """Figures of a named experiment that was run with the settings that it has now."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return details(arms=("baseline", "masked", "gan")) | {"params": results.planned(name)}


def rows(markdown):
    """Cells of the first table in `markdown`, without its header."""
    lines = [line for line in markdown.split("\n\n")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def document(tmp_path, text):
    path = tmp_path / "page.md"
    path.write_text(text)
    return path


def test_what_stands_between_marks_is_replaced_and_nothing_else(tmp_path):
    before = "a\n<!-- results: one -->\nold\n\n| x |\n<!-- end -->\nb\n<!-- results: two -->\n<!-- end -->\nc"
    page = document(tmp_path, before)
    made = {"one": r"first \1", "two": "second", "three": "third"}
    text = results.filled(page, made)
    assert text == (
        "a\n<!-- results: one -->\n\nfirst \\1\n\n<!-- end -->\nb\n<!-- results: two -->\n\nsecond\n\n<!-- end -->\nc"
    )
    page.write_text(text)
    assert results.filled(page, made) == text


def test_an_unknown_mark(tmp_path):
    page = document(tmp_path, "<!-- results: amrs -->\n<!-- end -->\n")
    with pytest.raises(InputError, match="page.md: unknown mark `amrs`; expected one of arms, leakage"):
        results.filled(page, {"arms": "", "leakage": ""})


@pytest.mark.parametrize("rest", ["", "<!-- results: arms -->\n<!-- end -->\n"])
def test_a_mark_without_an_end_swallows_nothing(tmp_path, rest):
    page = document(tmp_path, f"<!-- results: arms -->\nprose\n{rest}")
    with pytest.raises(InputError, match="has no `<!-- end -->`"):
        results.filled(page, {"arms": ""})


def test_smallest_detectable_gain():
    # Five points either way: a standard error of 10 / 3.92 points, 2.80 of which are 7.14 points.
    assert study_tables.detectable({"value": 0.3, "low": -0.05, "high": 0.05}) == pytest.approx(0.0714, abs=5e-5)
    assert study_tables.detectable({"value": 0.3, "low": None, "high": None}) is None


def test_differences_are_of_every_arm_from_baseline_and_masked(default):
    found = rows(study_tables.differences(default))
    assert [row[:2] for row in found] == [
        ["masked", "baseline"],
        ["gan", "baseline"],
        ["vae", "baseline"],
        ["gan", "masked"],
        ["vae", "masked"],
    ]
    against = default["arms"]["vae"]["against"]["masked"]
    assert found[-1][2] == tables.percent(against["ua"], "+")
    assert found[-1][3] == f"{against['p_corrected']:.3f}"
    assert float(found[-1][4]) == pytest.approx(280 / 3.92 * (against["ua"]["high"] - against["ua"]["low"]), abs=0.051)


def test_corpora_and_emotions(default):
    baseline, masked, _, vae = rows(study_tables.corpora(default))
    figures = default["arms"]["vae"]
    assert baseline[2:4] == baseline[5:] == ["", ""] and masked[3] == masked[6] == ""
    expected = ["vae"]
    for corpus in ("emodb", "ravdess"):
        differences = [figures["against"][reference]["corpora"][corpus]["ua"] for reference in REFERENCES]
        expected += [tables.percent(figures["corpora"][corpus]["ua"]), *(tables.percent(d, "+") for d in differences)]
    assert vae == expected
    assert rows(study_tables.recalls(default))[3][1:] == [
        tables.percent(figures["overall"]["recall"][emotion]) for emotion in EMOTIONS
    ]


def test_a_run_on_one_corpus_has_no_table_of_corpora():
    one = details(speakers=(("emodb", 4),))
    assert study_tables.run(one) == f"{tables.table(one)}\n\n{study_tables.recalls(one)}"


def test_leakage_is_of_the_arms_that_both_runs_hold(default):
    random = details("random", arms=("baseline", "vae", "diffusion"), gain=1.0)
    found = rows(study_tables.leakage(default, random))
    assert [row[0] for row in found] == ["baseline", "vae"]
    apart, leaking = (run["arms"]["vae"]["overall"]["ua"]["value"] for run in (default, random))
    assert found[1][3] == f"{100 * (leaking - apart):+.1f}"
    (axes,) = leakage_figure.picture(default, random).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["baseline", "vae"]
    assert any(text.get_text() == f"{100 * (leaking - apart):+.0f} points" for text in axes.texts)


def test_published_figures_stand_beside_ours(default):
    classical = details(arms=("baseline", "functionals"))
    found = rows(study_tables.published({"default": default}, {"default": classical}))
    assert [
        "EmoDB, seven emotions, one speaker left out at a time",
        "ResNet-152 from ImageNet on spectrograms, Mansouri et al.",
        "",
        "88.97",
    ] in found
    ours = [row for row in found if "ours" in row[1]]
    best = max(ARMS[1:], key=lambda arm: default["arms"][arm]["overall"]["ua"]["value"])
    assert [row[1] for row in ours] == ["**ours, baseline**", f"**ours, {best} (highest of 3 other arms)**"]
    assert {row[0] for row in ours} == {"both corpora, six emotions, speakers apart"}
    (machine,) = (row for row in found if "openSMILE" in row[1])
    assert machine[2] == tables.percent(classical["arms"]["functionals"]["overall"]["ua"]) != ours[0][2]


def test_distance_from_the_goals(default):
    found = {row[0]: row[1:] for row in rows(study_tables.goals({"default": default}))}
    assert found["UA: RAVDESS, eight emotions, actors apart"] == ["72.0", "not run yet", "", ""]
    uas = {arm: default["arms"][arm]["overall"]["ua"] for arm in ARMS}
    best = max(ARMS, key=lambda arm: uas[arm]["value"])
    assert found["UA: both corpora, six emotions, speakers apart"] == [
        "80.0",
        tables.percent(uas[best]),
        best,
        f"{100 * uas[best]['value'] - 80:+.1f}",
    ]
    generator = max(("gan", "vae"), key=lambda arm: uas[arm]["value"])
    gain = default["arms"][generator]["against"]["masked"]["ua"]
    assert found["gain in UA of a generator over masked"] == [
        "+2.0",
        tables.percent(gain, "+"),
        generator,
        f"{100 * gain['value'] - 2:+.1f}",
    ]


@pytest.mark.parametrize("arms, goals", [(("baseline", "masked"), 0), (("baseline", "gan"), 1), (("masked", "gan"), 1)])
def test_gains_to_reach_are_of_a_generator_over_a_reference(arms, goals):
    assert study_tables.goals({"default": details(arms=arms)}).count("gain in UA of a generator") == goals


def test_a_series_shows_the_generators_that_all_its_members_have_beside_masked(default):
    one = details(arms=("baseline", "masked", "gan"))
    first, second = rows(study_tables.series({25: one, 100: default}))
    assert (first[0], first[3], second[0], second[3]) == ("25 %", "gan", "100 %", "gan")
    assert second[2] == tables.percent(default["arms"]["masked"]["overall"]["ua"])
    against = [run["arms"]["gan"]["against"]["masked"] for run in (one, default)]
    assert [first[5], second[5]] == [tables.percent(found["ua"], "+") for found in against]
    assert [first[6], second[6]] == [tables.p_value(p) for p in holm([found["p"] for found in against])]
    assert [row[3] for row in rows(study_tables.series({100: default}))] == ["gan", "vae"]


def trainings(*arms):
    """UA of two folds, the first arm's at 60 and 70 % and each further arm's a point and three points above."""
    index = pd.MultiIndex.from_tuples([(0, 0), (0, 1)], names=["repeat", "fold"])
    return {
        arm: pd.DataFrame({"test": [0.6 + 0.01 * n, 0.7 + 0.03 * n], "validation": [0.8, 0.8 - 0.02 * n]}, index)
        for n, arm in enumerate(arms)
    }


def write_training(arm):
    """What two trainings of an arm predicted, and how they went."""
    for name in ("predictions", "curves"):
        Path("metrics", name).mkdir(parents=True, exist_ok=True)
    emotions = ["anger", "anger", "anger", "fear"]
    predicted = [*emotions, "anger", "fear", "fear", "fear"]
    certain = {emotion: [float(emotion == one) for one in predicted] for emotion in EMOTIONS}
    pd.DataFrame(
        {
            "repeat": 0,
            "fold": [0] * 4 + [1] * 4,
            "clip": list("abcdefgh"),
            "emotion": emotions * 2,
            "predicted": predicted,
            **certain,
        }
    ).to_csv(f"metrics/predictions/{arm}.csv", index=False)
    pd.DataFrame(
        {
            "repeat": 0,
            "fold": [0, 0, 1],
            "epoch": [1, 2, 1],
            "train_loss": 1.0,
            "validation_loss": 1.0,
            "validation_ua": [0.5, 0.75, 0.5],
        }
    ).to_csv(f"metrics/curves/{arm}.csv", index=False)


def test_folds_one_by_one():
    assert rows(fold_differences.table(trainings("baseline", "masked", "gan"))) == [
        ["masked", "baseline", "+1.0", "+3.0", "+2.0 ± 1.0", "-1.0 ± 1.0"],
        ["gan", "masked", "+1.0", "+3.0", "+2.0 ± 1.0", "-1.0 ± 1.0"],
    ]
    assert [row[:2] for row in rows(fold_differences.table(trainings("baseline", "gan")))] == [["gan", "baseline"]]


def test_the_folds_of_an_arm_are_read_from_its_predictions_and_curves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_training("gan")
    found = fold_differences.read("gan", EMOTIONS)
    assert found.index.tolist() == [(0, 0), (0, 1)]
    assert found["test"].tolist() == pytest.approx([1, (1 / 3 + 1) / 2])
    assert found["validation"].tolist() == [0.75, 0.5]


CHOICE = {
    "question": "Which rate?",
    "command": "python -m scripts.ablation rate",
    "protocol": "Two folds.",
    "repeats": 1,
    "candidates": {
        "as it was": {"changes": {}, "ua": [0.60, 0.70], "epoch": [10, 21]},
        "slower": {"changes": {"training": {"learning_rate": 0.0005}}, "ua": [0.62, 0.76], "epoch": [20, 20]},
    },
}


def test_a_choice_is_paired_with_its_first_candidate():
    text = study_tables.choice(CHOICE)
    # Gains of 2 and 6 points: their standard deviation, 2.83, over the root of 2.
    assert rows(text.partition("\n\n")[2]) == [
        ["as it was", "65.0", "", "16"],
        ["slower", "69.0", "+4.0 ± 2.0", "20"],
    ]
    assert text.startswith("**Which rate?** Two folds.\n") and text.endswith("`python -m scripts.ablation rate`.")


def test_what_was_not_run_has_its_command_and_hours_and_no_table(default):
    kept = {name: experiment(name) for name in ("random_split", "synthetic_50", "text")}
    made = results.contents(default, trainings(*ARMS), kept, {"choices/length": CHOICE}, {})
    missing = {row[0]: row[1:] for row in rows(made["missing"])}
    assert set(missing) == {*results.PARTS, *results.QUESTIONS, "**all**"} - {*kept, "choices/length"}
    assert missing["choices/mels"][1] == "`python -m scripts.ablation mels`"
    command = "`python -m scripts.experiment speaker_text --keep`"
    assert missing["speaker_text"] == ["speakers and sentences apart", command, "0.8"]
    assert float(missing.pop("**all**")[2]) == pytest.approx(sum(float(row[2]) for row in missing.values()))
    assert made["speaker_text"].startswith(f"Not run yet: {command}")
    assert made["real_data"].startswith("Not run yet: ")
    assert made["text"] == study_tables.run(kept["text"])
    assert {row[0] for row in rows(made["synthetic"])} == {"50 %"}
    assert made["choices/length"] == study_tables.choice(CHOICE)
    assert made["choices/mels"].startswith("Not run yet: `python -m scripts.ablation mels`")


def test_settings_that_have_changed_since_are_named(default):
    kept = {name: experiment(name) for name in ("text", "synthetic_50")}
    kept["text"]["params"]["split"]["folds"] = 9
    kept["synthetic_50"]["params"]["arms"]["vae"]["share"] = 0.3
    made = results.contents(default, trainings(*ARMS), kept, {}, {})
    text = yaml.safe_load((HERE / "text.yaml").read_text())
    assert rows(made["other_settings"]) == [
        ["text", "`split.folds`", "9", str(text["split"]["folds"])],
        ["synthetic_50", "`arms.vae.share`", "0.3", "0.333"],
    ]


def test_a_study_without_generators():
    plain = details(arms=("baseline", "masked"))
    plain |= {"quality": {}, "enhanced": plain}
    assert results.contents(plain, trainings("baseline", "masked"), {}, {}, {})["quality"] == "No generator took part."


def measured(name):
    """A question of experiments/choices with invented figures, as it is kept."""
    asked = yaml.safe_load((ablation.CHOICES / f"{name}.yaml").read_text())
    candidates = {
        label: {"changes": changes, "ua": [0.6, 0.7], "epoch": [1, 2]} for label, changes in asked["candidates"].items()
    }
    return json.loads(json.dumps(CHOICE | {"given": asked.get("given", {}), "candidates": candidates}))


@pytest.mark.parametrize("name", results.QUESTIONS)
def test_a_choice_counts_when_all_was_measured_that_is_asked(name):
    choice = measured(name.removeprefix("choices/"))
    assert results.as_asked(name, choice)
    assert not results.as_asked(name, choice | {"given": {"training": {"epochs": 7}}})
    choice["candidates"].popitem()
    assert not results.as_asked(name, choice)


def test_every_question_is_shown():
    assert set(results.QUESTIONS) == {f"choices/{path.stem}" for path in ablation.CHOICES.glob("*.yaml")}


def test_everything_run(default):
    everything = {name: experiment(name) for name in results.PARTS}
    everything["from_noise"]["enhanced"] = default["enhanced"]
    made = results.contents(default, trainings(*ARMS), everything, dict.fromkeys(results.QUESTIONS, CHOICE), {})
    assert made["missing"] == "Everything was run."
    assert made["other_settings"].startswith("All was run with the settings")
    assert [row[0] for row in rows(made["real_data"])] == ["10 %", "25 %", "50 %", "100 %"]
    assert made["from_noise"] == made["enhanced"]
    assert "Not run" not in "".join(made.values())


def test_the_command_reads_metrics_and_writes_documents_and_picture(default, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"metrics/details.json is missing.*`dvc repro`"):
        results.main()
    shutil.copy(ROOT / "params.yaml", tmp_path)
    for arm in ARMS:
        write_training(arm)
    random = details("random") | {"params": results.planned("random_split")}
    for path, found in [
        (results.DEFAULT, default),
        (results.EXPERIMENTS / "random_split.json", random),
        (results.METRICS / "choices/length.json", measured("length")),
    ]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))
    for path, mark in zip(results.DOCUMENTS, ("leakage", "choices/length")):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"<!-- results: {mark} -->\n<!-- end -->\n")
    results.main()
    assert len(rows(results.DOCUMENTS[0].read_text().partition("\n\n")[2])) == len(ARMS)
    assert study_tables.choice(measured("length")) in results.DOCUMENTS[1].read_text()
    assert results.PICTURE.is_file()

    half = measured("length")
    half["candidates"].popitem()
    (results.METRICS / "choices/length.json").write_text(json.dumps(half))
    results.main()
    assert "Not run yet: `python -m scripts.ablation length`" in results.DOCUMENTS[1].read_text()

    (results.METRICS / "choices/length.json").write_text('{"question": ')
    with pytest.raises(InputError, match=r"length.json: not readable as JSON"):
        results.main()
