"""Tables from invented metrics, and the marks that they stand between."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from scripts import fold_differences, kept_metrics, leakage_figure, named, results, study_tables, summary_figure
from scripts.changed_settings import changed_settings
from scripts.overrides import merged, override
from ser.core import params
from ser.core.errors import InputError
from ser.evaluation.statistics import REFERENCES, compare_arms, holm
from ser.reporting import tables
from tests.helpers.fabricated_study import EMOTIONS, fabricate
from tests.helpers.project import ROOT

ARMS = ("baseline", "augmented", "gan", "vae")
COMMITTED = params.load(ROOT / "params.yaml")
ON_REAL_CLIPS = set(COMMITTED["augmentation"])
ABLATIONS = named.ablations()


def details(protocol="speaker", arms=ARMS, speakers=(("emodb", 4), ("ravdess", 5)), gain=0.3):
    catalogue, predictions = fabricate(arms, speakers, gain=gain)
    one = dict.fromkeys(tables.QUALITY, 0.5)
    quality = {arm: {"reference": one, "synthetic": one, "folds": []} for arm in arms if arm not in ON_REAL_CLIPS}
    return compare_arms(predictions, catalogue, EMOTIONS, protocol, resamples=50)[1] | {"quality": quality}


@pytest.fixture(scope="module")
def default():
    fused = details(arms=("augmented", "augmented + baseline", "augmented + gan itself"))
    return details() | {"enhanced": details(arms=("baseline", "gan, no label")), "fused": fused}


def experiment(name):
    """Metrics of a named experiment that was run with the settings that it has now."""
    settings = merged(COMMITTED, results.parts()[name].changes)
    return details(arms=("baseline", "augmented", "gan")) | {"params": settings}


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
    sections = {"one": r"first \1", "two": "second", "three": "third"}
    text = results.filled(page, sections)
    assert text == (
        "a\n<!-- results: one -->\n\nfirst \\1\n\n<!-- end -->\nb\n<!-- results: two -->\n\nsecond\n\n<!-- end -->\nc"
    )
    page.write_text(text)
    assert results.filled(page, sections) == text


def test_an_unknown_mark(tmp_path):
    page = document(tmp_path, "<!-- results: amrs -->\n<!-- end -->\n")
    with pytest.raises(InputError, match="page.md: unknown mark `amrs`; expected one of arms, leakage"):
        results.filled(page, {"arms": "", "leakage": ""})


@pytest.mark.parametrize("rest", ["", "<!-- results: arms -->\n<!-- end -->\n"])
def test_a_mark_without_an_end_swallows_nothing(tmp_path, rest):
    page = document(tmp_path, f"<!-- results: arms -->\nprose\n{rest}")
    with pytest.raises(InputError, match="has no `<!-- end -->`"):
        results.filled(page, {"arms": ""})


def test_a_run_has_a_row_per_arm_with_its_differences_and_corpora(default):
    cells = rows(study_tables.run(default))
    assert [row[0] for row in cells] == list(default["arms"])
    metrics = default["arms"]["vae"]
    differences = [metrics["against"][reference] for reference in REFERENCES]
    assert cells[3] == [
        "vae",
        tables.percent(metrics["overall"]["ua"]),
        *(f"{tables.percent(d['ua'], '+')}, {tables.p_value(d['p_corrected'])}" for d in differences),
        *(tables.percent(metrics["corpora"][corpus]["ua"]) for corpus in ("emodb", "ravdess")),
    ]


def test_corpora_and_emotions(default):
    baseline, augmented, _, vae = rows(study_tables.corpora(default))
    metrics = default["arms"]["vae"]
    assert baseline[2:4] == baseline[5:] == ["", ""] and augmented[3] == augmented[6] == ""
    expected = ["vae"]
    for corpus in ("emodb", "ravdess"):
        differences = [metrics["against"][reference]["corpora"][corpus]["ua"] for reference in REFERENCES]
        expected += [tables.percent(metrics["corpora"][corpus]["ua"]), *(tables.percent(d, "+") for d in differences)]
    assert vae == expected
    assert rows(study_tables.recalls(default))[3][1:] == [
        tables.percent(metrics["overall"]["recall"][emotion]) for emotion in EMOTIONS
    ]


def test_several_runs_have_an_ensemble(default):
    arms = {
        name: arm | {"ensemble": {"overall": default["arms"]["vae"]["overall"]}}
        for name, arm in default["arms"].items()
    }
    shown = study_tables.run(default | {"runs": 2, "arms": arms})
    assert "UA, ensemble of 2" in shown and ", 2 runs;" in shown
    assert {row[2] for row in rows(shown)} == {tables.percent(default["arms"]["vae"]["overall"]["ua"])}


def test_a_run_on_one_corpus_has_no_columns_of_corpora(default):
    one = details(speakers=(("emodb", 4),))
    assert len(rows(study_tables.run(one))[0]) == len(rows(study_tables.run(default))[0]) - 2


def test_leakage_is_of_the_arms_that_both_runs_hold(default):
    random = details("random", arms=("baseline", "vae", "diffusion"), gain=1.0)
    apart, leaking = (run["arms"]["vae"]["overall"]["ua"]["value"] for run in (default, random))
    assert list(study_tables.inflation(default, random)) == ["baseline", "vae"]
    (axes,) = leakage_figure.picture(default, random).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["baseline", "vae"]
    assert any(text.get_text() == f"{100 * (leaking - apart):+.0f} points" for text in axes.texts)


def test_the_summary_has_a_row_per_effect_and_says_what_leaks(default):
    noise = default | {"enhanced": details(arms=("baseline", "gan, true label (leaks)", "gan, no label"))}
    fusion = details(arms=("augmented", "fused"))
    effects = summary_figure.effects(default, details("random", gain=1.0), noise, fusion)
    assert {effect.what for effect in effects if effect.leaks} == {
        "clips split at random",
        "test clips from noise: gan, true label",
    }
    assert [effect.what for effect in effects if not effect.leaks] == [
        "augmentation: augmented",
        "augmented + clips of gan",
        "augmented + clips of vae",
        "fused: augmented + baseline",
        "fused: augmented + gan itself",
        "fused: augmented + openSMILE",
    ]
    (axes,) = summary_figure.picture(default, details("random", gain=1.0), noise, fusion).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [effect.what for effect in effects]
    gain = default["arms"]["vae"]["against"]["augmented"]["ua"]["value"]
    assert f"{100 * gain:+.1f}" in [text.get_text() for text in axes.texts]


def test_published_results_stand_next_to_ours(default):
    classical = details(arms=("opensmile_svm",), speakers=(("emodb", 4), ("ravdess", 4)))
    fixed_features = {"openSMILE and an SVM": {"default": classical}, "speech encoder": {}}
    runs = {"default": default, "ravdess_eight": default}
    cells = rows(study_tables.published(named.compared(), runs, fixed_features))
    assert [
        "EmoDB, seven emotions, one speaker left out at a time",
        "ResNet-152 from ImageNet on spectrograms, Mansouri et al.",
        "",
        "88.97",
    ] in cells
    ours = [row for row in cells if "ours" in row[1]]
    best = max(ARMS[1:], key=lambda arm: default["arms"][arm]["overall"]["ua"]["value"])
    assert [row[1] for row in ours] == ["**ours, baseline**", f"**ours, {best} (highest of 3 other arms)**"]
    assert {row[0] for row in ours} == {"RAVDESS, eight emotions, actors apart"}  # where something was published
    (machine,) = (row for row in cells if "openSMILE" in row[1])
    assert machine[:2] == ["Both corpora, six emotions, speakers apart", "openSMILE and an SVM, on our folds"]
    assert machine[2] == tables.percent(classical["arms"]["opensmile_svm"]["overall"]["ua"]) != ours[0][2]
    assert not [row for row in cells if "speech encoder" in row[1]]


def test_each_frozen_speech_encoder_has_a_row_once_one_was_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    svm, encoder = results.FIXED_FEATURES.values()
    assert results.fixed_features() == {svm: {}, encoder: {}}
    kept_metrics.SPEECH_ENCODERS.mkdir(parents=True)
    for name in ("wavlm", "whisper"):
        (kept_metrics.SPEECH_ENCODERS / f"{name}.json").write_text(json.dumps({"default": name}))
    assert list(results.fixed_features()) == [svm] + [
        f"logistic regression on {name}, frozen" for name in ("wavlm", "whisper")
    ]


def test_distance_from_the_goals(default):
    cells = {row[0]: row[1:] for row in rows(study_tables.goals(named.with_goal(), {"default": default}))}
    assert cells["UA: RAVDESS, eight emotions, actors apart"] == ["70.0", "not run yet", "", ""]
    uas = {arm: default["arms"][arm]["overall"]["ua"] for arm in ARMS}
    best = max(ARMS, key=lambda arm: uas[arm]["value"])
    assert cells["UA: Both corpora, six emotions, speakers apart"] == [
        "76.0",
        tables.percent(uas[best]),
        best,
        f"{100 * uas[best]['value'] - 76:+.1f}",
    ]
    generator = max(("gan", "vae"), key=lambda arm: uas[arm]["value"])
    gain = default["arms"][generator]["against"]["augmented"]["ua"]
    assert cells["gain in UA of a generator over augmented"] == [
        "+2.0",
        tables.percent(gain, "+"),
        generator,
        f"{100 * gain['value'] - 2:+.1f}",
    ]


@pytest.mark.parametrize(
    "arms, goals", [(("baseline", "masked", "augmented"), 0), (("baseline", "gan"), 1), (("augmented", "gan"), 1)]
)
def test_gains_to_reach_are_of_a_generator_over_a_reference(arms, goals):
    text = study_tables.goals(named.with_goal(), {"default": details(arms=arms)})
    assert text.count("gain in UA of a generator") == goals


def test_a_series_compares_the_generators_that_all_its_members_have_with_augmented(default):
    one = details(arms=("baseline", "masked", "augmented", "gan"))
    first, second = rows(study_tables.series({25: one, 100: default}))
    assert (first[0], first[3], second[0], second[3]) == ("25 %", "gan", "100 %", "gan")
    assert second[2] == tables.percent(default["arms"]["augmented"]["overall"]["ua"])
    against = [run["arms"]["gan"]["against"]["augmented"] for run in (one, default)]
    assert [first[5], second[5]] == [tables.percent(difference["ua"], "+") for difference in against]
    assert [first[6], second[6]] == [tables.p_value(p) for p in holm([difference["p"] for difference in against])]
    assert [row[3] for row in rows(study_tables.series({100: default}))] == ["gan", "vae"]


def fold_ua(*arms):
    """UA of two folds, the first arm's at 60 and 70 % and each further arm's a point and three points above."""
    index = pd.MultiIndex.from_tuples([(0, 0), (0, 1)], names=["repeat", "fold"])
    return {arm: pd.Series([0.6 + 0.01 * n, 0.7 + 0.03 * n], index) for n, arm in enumerate(arms)}


def write_predictions(arm):
    """What two trainings of an arm predicted."""
    Path("metrics/predictions").mkdir(parents=True, exist_ok=True)
    emotions = ["anger", "anger", "anger", "fear"]
    predicted = [*emotions, "anger", "fear", "fear", "fear"]
    certain = {emotion: [float(emotion == one) for one in predicted] for emotion in EMOTIONS}
    pd.DataFrame(
        {
            "repeat": 0,
            "fold": [0] * 4 + [1] * 4,
            "run": 0,
            "clip": list("abcdefgh"),
            "emotion": emotions * 2,
            "predicted": predicted,
            **certain,
        }
    ).to_csv(f"metrics/predictions/{arm}.csv", index=False)


def test_folds_one_by_one():
    four = fold_ua("baseline", "masked", "augmented", "gan")
    assert rows(fold_differences.table(four, ["gan"])) == [
        ["masked", "baseline", "+1.0", "+3.0", "+2.0 ± 1.0"],
        ["augmented", "baseline", "+2.0", "+6.0", "+4.0 ± 2.0"],
        ["gan", "augmented", "+1.0", "+3.0", "+2.0 ± 1.0"],
    ]
    two = rows(fold_differences.table(fold_ua("baseline", "gan"), ["gan"]))
    assert [row[:2] for row in two] == [["gan", "baseline"]]


def test_the_folds_of_an_arm_are_read_from_its_predictions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_predictions("gan")
    ua = fold_differences.read("gan", EMOTIONS)
    assert ua.index.tolist() == [(0, 0), (0, 1)]
    assert ua.tolist() == pytest.approx([1, (1 / 3 + 1) / 2])


RATE = {
    "question": "Which rate?",
    "command": "python -m scripts.ablation rate",
    "protocol": "Two folds.",
    "repeats": 1,
    "candidates": {
        "as it was": {"changes": {}, "ua": [0.60, 0.70]},
        "slower": {"changes": {"training": {"learning_rate": 0.0005}}, "ua": [0.62, 0.76]},
    },
}


def test_an_ablation_is_paired_with_its_first_candidate():
    text = study_tables.ablation(RATE)
    # Gains of 2 and 6 points: their standard deviation, 2.83, over the root of 2.
    assert rows(text.partition("\n\n")[2]) == [
        ["as it was", "65.0", ""],
        ["slower", "69.0", "+4.0 ± 2.0"],
    ]
    assert text.startswith("**Which rate?** Two folds.\n") and text.endswith("`python -m scripts.ablation rate`.")


@pytest.fixture
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.usefixtures("at_the_root")
def test_what_was_not_run_has_its_command_and_hours_and_no_table(default):
    kept = {name: experiment(name) for name in ("random_split", "synthetic_50", "text")}
    fixed_features = {title: {} for title in results.FIXED_FEATURES.values()}
    sections = results.contents(results.Measured(default, fold_ua(*ARMS), kept, {"length": RATE}, fixed_features, None))
    missing = {row[0]: row[1:] for row in rows(sections["missing"])}
    ablations = {f"ablations/{name}" for name in ABLATIONS}
    everything = {*results.parts(), *ablations, *results.FIXED_FEATURES, "fusion", "**all that was timed**"}
    assert set(missing) == everything - {*kept, "ablations/length"}
    assert missing["speech_encoder"] == ["`python -m scripts.speech_encoder`", "not timed"]
    assert missing["ablations/mels"][0] == "`python -m scripts.ablation mels`"
    command = "`python -m scripts.experiment speaker_text --keep`"
    assert missing["speaker_text"] == [command, "2.1"]
    assert missing["synthetic_25"][0] == "`python -m scripts.experiment synthetic_25 --keep`"
    total = float(missing.pop("**all that was timed**")[1])
    assert total == pytest.approx(sum(float(row[1]) for row in missing.values() if row[1] != "not timed"))
    assert sections["speaker_text"] == f"Not run yet: {command}; about 2.1 hours on 2 cores."
    hours = sum(results.parts()[f"real_data_{amount}"].hours for amount in (10, 25, 50))
    members = (f"`python -m scripts.experiment real_data_{amount} --keep`" for amount in (10, 25, 50))
    assert sections["real_data"] == f"Not run yet: {', '.join(members)}; about {hours:.1f} hours on 2 cores."
    assert sections["text"] == study_tables.run(kept["text"])
    assert {row[0] for row in rows(sections["synthetic"])} == {"50 %"}
    assert sections["ablations/length"] == study_tables.ablation(RATE)
    assert sections["ablations/mels"].startswith("Not run yet: `python -m scripts.ablation mels`")


@pytest.mark.usefixtures("at_the_root")
def test_an_experiment_without_results_names_its_command(default):
    sections = results.contents(results.Measured(default, fold_ua(*ARMS), {}, {}, {}, None))
    command = "`python -m scripts.experiment random_split --keep`"
    hours = results.parts()["random_split"].hours
    assert sections["random_split"] == f"Not run yet: {command}; about {hours} hours on 2 cores."


def test_an_experiment_that_nobody_timed_says_so():
    part = study_tables.Planned(None, "a command")
    assert rows(study_tables.missing({"a": part}))[0] == ["a", "`a command`", "not timed"]


@pytest.mark.usefixtures("at_the_root")
def test_an_arm_without_results_is_named_in_the_headline_table(default):
    table = {
        row[0]: row[1:]
        for row in rows(results.contents(results.Measured(default, fold_ua(*ARMS), {}, {}, {}, None))["arms"])
    }
    study = COMMITTED["study"]
    assert set(table) == {*study["arms"], *study["generators"]}
    for arm in set(table) - set(ARMS):
        assert table[arm][0] == "not run yet" and not any(table[arm][1:])


@pytest.mark.usefixtures("at_the_root")
def test_settings_that_have_changed_since_are_named(default):
    kept = {name: experiment(name) for name in ("real_data_10", "real_data_50", "synthetic_50", "text")}
    for name in ("real_data_10", "real_data_50"):
        kept[name]["params"] = merged(kept[name]["params"], override("seed=1"))
    for change in ("split.folds=9", "generators.vae.fit.frames=8", "generators.vae.fit.a=1", "generators.vae.b=2"):
        kept["text"]["params"] = merged(kept["text"]["params"], override(change))
    kept["synthetic_50"]["params"] = merged(kept["synthetic_50"]["params"], override("arms.vae.share=0.3"))
    sections = results.contents(results.Measured(default, fold_ua(*ARMS), kept, {}, {}, None))
    folds = results.parts()["text"].changes["split"]["folds"]
    assert [row[0] for row in rows(sections["real_data"])] == ["10 %", "50 %"]  # not next to a run of other settings
    assert rows(sections["other_settings"]) == [
        ["real_data_10, real_data_50", "`seed` 1 → 0"],
        ["synthetic_50", "`arms.vae.share` 0.3 → 0.333"],
        ["text", f"`split.folds` 9 → {folds}; `generators.vae` (3 settings)"],
    ]


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        # What takes no part in the experiment.
        ("augmentation.masked.time_mask=0.3", {}),
        ("augmentation.other.noise=0.3", {}),
        ("arms.gan.share=0.3", {}),
        ("generators.gan.sample.count=7", {}),
        ("enhancement.steps=7", {}),
        ("export.arm=baseline", {}),
        # A knob that is off, whether it is named or not.
        ("augmentation.augmented.noise=0.0", {}),
        # What takes part.
        ("augmentation.augmented.noise=0.1", {"augmentation.augmented.noise": (0.1, 0.0)}),
        ("augmentation.baseline.probability=0.5", {"augmentation.baseline.probability": (0.5, 0.0)}),
        ("arms.vae.share=0.3", {"arms.vae.share": (0.3, 0.15)}),
        ("generators.vae.sample.count=7", {"generators.vae.sample.count": (7, 200)}),
        ("autoencoder.kl=0.1", {"autoencoder.kl": (0.1, 0.0002)}),
        ("sample_quality.training.epochs=7", {"sample_quality.training.epochs": (7, 12)}),
        ("study.build_on=baseline", {"study.build_on": ("baseline", "augmented")}),
        ("split.validation=0.3", {"split.validation": (0.3, 0.0)}),
        ("audio.gone=1", {"audio.gone": (1, "not set")}),
    ],
)
def test_settings_are_compared_where_the_experiment_used_them(change, difference):
    study = {"arms": ["baseline", "augmented"], "generators": ["vae"], "enhanced": [], "recognising": []}
    now = merged(COMMITTED, {"study": study})
    assert changed_settings(merged(now, override(change)), now) == difference


@pytest.mark.parametrize(
    "change",
    ["arms.vae.share=0.3", "autoencoder.kl=0.1", "study.build_on=masked", "sample_quality.training.epochs=7"],
)
def test_settings_of_generators_do_not_count_where_there_are_none(change):
    now = merged(COMMITTED, {"study": {"generators": [], "enhanced": [], "recognising": []}})
    assert changed_settings(merged(now, override(change)), now) == {}


def test_committed_experiments_were_run_with_the_settings_that_they_have_now_but_for_what_was_replaced_since():
    """Runs and validation, and all generators."""
    parts = results.parts()
    kept = sorted((ROOT / kept_metrics.EXPERIMENTS).glob("*.json"))
    assert kept
    for path in kept:
        settings = kept_metrics.read(path)["params"]
        changed = changed_settings(settings, merged(COMMITTED, parts[path.stem].changes))
        of_the_earlier_recipe = {"split.validation", "training.patience", "sample_quality.training.patience"}
        of_the_earlier_recipe |= {"training.runs", "training.epochs"}
        kinds = {key for key in changed if not key.startswith(("autoencoder.", "enhancement.", "generators."))}
        assert kinds in (set(), of_the_earlier_recipe), path.stem


@pytest.mark.usefixtures("at_the_root")
def test_a_study_without_generators():
    plain = details(arms=("baseline", "augmented"))
    plain |= {"enhanced": plain, "fused": plain}
    sections = results.contents(results.Measured(plain, fold_ua("baseline", "augmented"), {}, {}, {}, None))
    assert sections["quality"] == "No generator took part."


def measured(name):
    """An ablation with invented metrics, as it is kept."""
    asked = ABLATIONS[name]
    candidates = {label: {"changes": changes, "ua": [0.6, 0.7]} for label, changes in asked.candidates.items()}
    return json.loads(json.dumps(RATE | {"given": asked.given, "candidates": candidates}))


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_counts_when_every_candidate_was_measured_whatever_was_given(name):
    kept = measured(name)
    assert results.is_complete(kept | {"given": {"training": {"epochs": 7}}}, ABLATIONS[name])
    label = list(kept["candidates"])[-1]
    kept["candidates"][label]["changes"] = {"seed": 1}
    assert not results.is_complete(kept, ABLATIONS[name])
    del kept["candidates"][label]
    assert not results.is_complete(kept, ABLATIONS[name])


def test_committed_ablations_measured_candidates_that_are_asked_for():
    kept = sorted((ROOT / kept_metrics.ABLATIONS).glob("*.json"))
    assert kept
    for path in kept:
        kept_results, asked = kept_metrics.read(path), ABLATIONS[path.stem]
        candidates = {label: candidate["changes"] for label, candidate in kept_results["candidates"].items()}
        assert candidates.items() <= asked.candidates.items(), path.stem
        assert kept_results["question"] == asked.question, path.stem


@pytest.mark.usefixtures("at_the_root")
def test_replications_show_what_was_published_next_to_both_splits(default):
    name = "kim_lee_2024"
    random = experiment(f"{name}_reduced") | {"enhanced": default["enhanced"]}
    random["arms"]["baseline"]["overall"]["wa"]["value"] = 0.875
    shown = rows(study_tables.replications(named.replications(), {f"{name}_reduced": random}))
    mine = {row[1]: row[2:] for row in shown if row[0] == f"`{name}`"}
    assert mine["baseline"][0] == "82.1 (EmoDB), 67.7 (RAVDESS)"
    assert mine["baseline"][1].startswith("87.5 [") and mine["baseline"][2] == "not run yet"
    assert mine["unet_diffusion"] == ["", "", "not run yet"]
    assert {row[0] for row in shown} == {f"`{other}`" for other in named.replications()}


@pytest.mark.usefixtures("at_the_root")
def test_everything_run(default):
    everything = {name: experiment(name) for name in results.parts()}
    for details_of in everything.values():
        details_of["enhanced"] = default["enhanced"]
    complete = details(arms=("baseline", "masked", "augmented", *COMMITTED["study"]["generators"]))
    complete |= {"enhanced": default["enhanced"], "fused": default["fused"]}
    ablations = dict.fromkeys(ABLATIONS, RATE)
    sections = results.contents(
        results.Measured(complete, fold_ua(*complete["arms"]), everything, ablations, {}, default["fused"])
    )
    assert sections["missing"] == "Everything was run."
    assert sections["other_settings"].startswith("All experiments were run with the settings")
    assert [row[0] for row in rows(sections["real_data"])] == ["10 %", "25 %", "50 %", "100 %"]
    assert sections["from_noise"] == sections["enhanced"]
    assert "not run" not in "".join(sections.values()).lower()


def test_the_command_reads_metrics_and_writes_documents_and_picture(default, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"metrics/details.json is missing.*`dvc repro`"):
        results.main()
    shutil.copy(ROOT / "params.yaml", tmp_path)
    for arm in ARMS:
        write_predictions(arm)
    random = details("random") | {"params": merged(COMMITTED, results.parts()["random_split"].changes)}
    length = kept_metrics.ABLATIONS / "length.json"
    for path, content in [
        (kept_metrics.DEFAULT, default),
        (kept_metrics.EXPERIMENTS / "random_split.json", random),
        (length, measured("length")),
    ]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    for path, mark in zip(results.DOCUMENTS, ("random_split", "arms", "ablations/length", "goals"), strict=True):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"<!-- results: {mark} -->\n<!-- end -->\n")
    results.main()
    assert len(rows(results.DOCUMENTS[0].read_text().partition("\n\n")[2])) == len(ARMS)
    assert study_tables.ablation(measured("length")) in results.DOCUMENTS[2].read_text()
    assert results.LEAKAGE.is_file() and not results.SUMMARY.exists()

    half = measured("length")
    half["candidates"].popitem()
    length.write_text(json.dumps(half))
    results.main()
    assert "Not run yet: `python -m scripts.ablation length`" in results.DOCUMENTS[2].read_text()

    length.write_text('{"question": ')
    with pytest.raises(InputError, match=r"length.json: not readable as JSON"):
        results.main()
