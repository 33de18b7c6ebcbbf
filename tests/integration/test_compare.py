"""The stage that compares the arms: its outputs, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from ser.core import params
from ser.core.errors import InputError
from ser.evaluation.predictions import CONDITIONS
from ser.reporting import figures, tables
from stages import compare

EMOTIONS = ["anger", "neutral", "sadness"]
RUNS = 2
STUDY = {
    "arms": ["baseline", "masked", "augmented"],
    "generators": ["diffusion"],
    "build_on": "augmented",
    "enhanced": ["diffusion"],
    "recognising": ["diffusion"],
    "resamples": 200,
}
PARAMS = {
    "study": STUDY,
    "emotions": EMOTIONS,
    "split.protocol": "speaker",
    "seed": 7,
}


@pytest.fixture
def project(tmp_path, monkeypatch, quality):
    """A project whose arms have been trained: a catalogue, predictions and histories."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(params, "read", lambda key, kind: params.check(PARAMS[key], kind, key))
    rng = np.random.default_rng(0)
    catalogue = pd.DataFrame(
        [
            {
                "clip": f"{corpus}/{speaker}-{clip}",
                "corpus": corpus,
                "path": f"data/corpora/{corpus}/{speaker}-{clip}.wav",
                "speaker": f"{corpus}-{speaker}",
                "sex": ("female", "male")[speaker % 2],
                "emotion": EMOTIONS[clip % 3],
                "text": f"{corpus}-a",
                "intensity": "normal",
                "seconds": 2.0,
                "sample_rate": 16000,
                "sha256": f"{len(corpus):02x}{speaker:02x}{clip:060x}",
            }
            for corpus in ("emodb", "ravdess")
            for speaker in range(4)
            for clip in range(9)
        ]
    )
    Path("data").mkdir()
    catalogue.sort_values("clip").to_csv("data/catalogue.csv", index=False)
    for kind in ("predictions", "curves"):
        Path("metrics", kind).mkdir(parents=True)
    Path("metrics/enhanced/diffusion").mkdir(parents=True)
    Path("metrics/recognised").mkdir()
    for arm in (*STUDY["arms"], *STUDY["generators"]):
        clips = catalogue[["clip", "emotion"]].assign(repeat=0, fold=0)
        table = pd.concat([clips.assign(run=run) for run in range(RUNS)], ignore_index=True)
        table[EMOTIONS] = rng.dirichlet(np.ones(3), len(table))
        table["predicted"] = np.array(EMOTIONS)[table[EMOTIONS].to_numpy().argmax(axis=1)]
        table.to_csv(f"metrics/predictions/{arm}.csv", index=False)
        if arm == "diffusion":
            for condition in CONDITIONS:
                table.to_csv(f"metrics/enhanced/diffusion/{condition}.csv", index=False)
            table[table["run"] == 0].to_csv("metrics/recognised/diffusion.csv", index=False)
        epochs = pd.DataFrame([(fold, epoch) for fold in (0, 1) for epoch in range(1, 4)], columns=["fold", "epoch"])
        epochs.assign(repeat=0, run=0, train_loss=epochs["fold"] + 1 / epochs["epoch"]).to_csv(
            f"metrics/curves/{arm}.csv", index=False
        )
    Path("metrics/quality").mkdir()
    Path("metrics/quality/diffusion.json").write_text(json.dumps(quality["diffusion"]))
    return tmp_path


@pytest.fixture
def without_figures(monkeypatch):
    """To save time where no figure is looked at."""
    monkeypatch.setattr(figures, "save", lambda figure, path: None)


def test_compare_json_can_be_recomputed_from_the_predictions(project, without_figures, capsys):
    compare.main()
    summary = json.loads(Path("metrics/compare.json").read_text())
    assert list(summary) == ["baseline", "masked", "augmented", "diffusion"]
    for arm, metrics in summary.items():
        runs = [run for _, run in pd.read_csv(f"metrics/predictions/{arm}.csv").groupby("run")]
        pairs = [(run["emotion"], run["predicted"]) for run in runs]
        assert len(pairs) == RUNS and metrics == pytest.approx(
            {
                "ua": np.mean([balanced_accuracy_score(*pair) for pair in pairs]),
                "wa": np.mean([accuracy_score(*pair) for pair in pairs]),
                "f1": np.mean([f1_score(*pair, average="macro") for pair in pairs]),
            },
            abs=1e-6,
        )
    details = json.loads(Path("metrics/details.json").read_text())
    assert details["runs"] == RUNS
    assert all(
        {"ensemble", "groups", "speakers", "calibration"} <= set(metrics) for metrics in details["arms"].values()
    )
    assert [list(details["arms"][arm]["against"]) for arm in summary] == [
        [],
        ["baseline", "augmented"],
        ["baseline"],
        ["baseline", "augmented"],
    ]
    assert details["seed"] == 7 and details["resamples"] == 200
    assert capsys.readouterr().out.startswith("Arms\n\n| arm ")
    curves = pd.read_csv("plots/learning_curves.csv")
    assert curves["arm"].unique().tolist() == ["baseline", "masked", "augmented", "diffusion"]
    assert curves["loss"][curves["arm"] == "masked"].tolist() == [1.5, 1.0, 0.833333]


def test_the_quality_of_generators_is_among_the_results(project, without_figures, quality, capsys):
    compare.main()
    assert json.loads(Path("metrics/details.json").read_text())["quality"] == {"diffusion": quality["diffusion"]}
    assert "\n| clips     | Fréchet | " in capsys.readouterr().out


def test_enhanced_clips_stand_next_to_the_baseline_and_the_leak_is_named(project, without_figures, capsys):
    compare.main()
    summary = json.loads(Path("metrics/enhanced.json").read_text())
    rows = ["baseline", "diffusion, true label (leaks)", "diffusion, predicted label", "diffusion, no label"]
    assert list(summary) == rows
    assert summary["baseline"] == json.loads(Path("metrics/compare.json").read_text())["baseline"]
    details = json.loads(Path("metrics/details.json").read_text())["enhanced"]
    assert details["arms"]["diffusion, no label"]["against"]["baseline"]["ua"]["low"] is not None
    printed = capsys.readouterr().out
    assert all(f"| {row}" in printed for row in rows)
    assert tables.ENHANCED_NOTE in printed


def test_generators_recognise_alone_and_with_a_network_beside_the_control(project, without_figures, capsys):
    compare.main()
    summary = json.loads(Path("metrics/fused.json").read_text())
    assert list(summary) == [
        "augmented",
        "augmented + baseline",
        "augmented + masked",
        "diffusion itself",
        "augmented + diffusion itself",
    ]
    assert summary["augmented"] == json.loads(Path("metrics/compare.json").read_text())["augmented"]
    alone = pd.read_csv("metrics/recognised/diffusion.csv")
    expected = balanced_accuracy_score(alone["emotion"], alone["predicted"])
    assert summary["diffusion itself"]["ua"] == pytest.approx(expected, abs=1e-6)
    assert tables.FUSED_NOTE in capsys.readouterr().out


def test_a_study_without_generators(project, monkeypatch, capsys):
    monkeypatch.setitem(
        PARAMS, "study", STUDY | {"arms": ["baseline"], "generators": [], "enhanced": [], "recognising": []}
    )
    compare.main()
    assert json.loads(Path("metrics/details.json").read_text())["quality"] == {}
    assert Path("plots/quality.png").read_bytes().startswith(b"\x89PNG")
    assert "Fréchet" not in (printed := capsys.readouterr().out)
    assert "enhanced" not in printed and "itself" not in printed


def test_the_same_inputs_give_the_same_bytes(project):
    def outputs():
        compare.main()
        paths = [*Path("metrics").iterdir(), *Path("plots").iterdir()]
        return {path.name: path.read_bytes() for path in paths if path.is_file()}

    first = outputs()
    assert sorted(first) == [
        "calibration.png",
        "compare.json",
        "confusion.png",
        "details.json",
        "enhanced.json",
        "enhanced.png",
        "fused.json",
        "fused.png",
        "learning_curves.csv",
        "learning_curves.png",
        "quality.png",
        "recall.png",
        "ua.png",
    ]
    assert first["compare.json"].endswith(b"}\n")
    assert outputs() == first


@pytest.mark.parametrize(
    "path, maker",
    [
        ("metrics/predictions/masked.csv", "train@masked"),
        ("metrics/predictions/augmented.csv", "train@augmented"),
        ("metrics/predictions/diffusion.csv", "train_synthetic@diffusion"),
        ("metrics/enhanced/diffusion/no_label.csv", "enhance@diffusion"),
        ("metrics/recognised/diffusion.csv", "recognise@diffusion"),
        ("metrics/curves/baseline.csv", "train@baseline"),
        ("metrics/quality/diffusion.json", "sample_quality@diffusion"),
    ],
)
def test_a_missing_result_names_the_stage_that_makes_it(project, path, maker):
    Path(path).unlink()
    with pytest.raises(InputError, match=f"{path} is missing.*`dvc repro {maker}`"):
        compare.main()
    assert not Path("metrics/compare.json").exists()


def test_a_failure_leaves_earlier_outputs_as_they_were(project, without_figures):
    compare.main()
    before = Path("metrics/compare.json").read_bytes()
    table = pd.read_csv("metrics/predictions/diffusion.csv")
    table.iloc[1:].to_csv("metrics/predictions/diffusion.csv", index=False)
    with pytest.raises(InputError, match="arm 'diffusion' has no prediction of clip 'emodb/0-0'"):
        compare.main()
    assert Path("metrics/compare.json").read_bytes() == before
