"""Label sets by params alone, from the split to the pictures: a single corpus, emotions that only one corpus has, and
emotions that some test parts lack."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.metrics import balanced_accuracy_score

from scripts.overrides import merged
from ser.core import checkpoints, fold_jobs, params
from ser.core.errors import InputError
from ser.data import manifest, mel_store
from ser.data.dataset import load_dataset
from stages import compare, embed, split, train
from tests.helpers.project import ROOT

SIX = ["anger", "disgust", "fear", "happiness", "neutral", "sadness"]
HELD = {"emodb": [*SIX, "boredom"], "ravdess": [*SIX, "calm", "surprise"]}
SETS = {
    "the six common": ([*HELD], SIX),
    "EmoDB's seven": (["emodb"], HELD["emodb"]),
    "RAVDESS's eight": (["ravdess"], HELD["ravdess"]),
    "RAVDESS's seven": (["ravdess"], [*SIX, "surprise"]),
    "EmoDB's six and RAVDESS's seven": ([*HELD], [*SIX, "surprise"]),
    "all nine": ([*HELD], list(manifest.EMOTIONS)),
}
SMALL = {
    "study": {"arms": ["baseline"], "generators": [], "enhanced": [], "recognising": [], "resamples": 50},
    "split": {"folds": 4},
    "classifier": {"frames": 16},
    "training": {"runs": 1, "epochs": 1, "batch": 8},
}


def change(changes):
    path = Path("params.yaml")
    path.write_text(yaml.safe_dump(merged(params.load(), changes)))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Returns a function of corpora and `emotions` that makes a project in the working folder: every corpus has four
    speakers, the first of whom has only the corpus's first three emotions."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())

    def make(corpora, emotions):
        rows = []
        for corpus, speaker in product(corpora, range(4)):
            for emotion in HELD[corpus] if speaker else HELD[corpus][:3]:
                clip = f"{corpus}/{speaker}-{emotion}"
                voice = f"{corpus}-{speaker}", "female"
                rows.append((clip, corpus, clip, *voice, emotion, "a", "normal", 1.0, 16000, clip))
        table = pd.DataFrame(rows, columns=manifest.COLUMNS).sort_values("clip")
        table.to_csv("data/catalogue.csv", index=False)
        rng = np.random.default_rng(0)
        mel_store.write("data/mels", (({"clip": clip}, rng.uniform(-80, 0, (20, 8)).T) for clip in table["clip"]))
        change(merged(SMALL, {"emotions": emotions}))
        return table

    return make


@pytest.mark.parametrize("corpora, emotions", SETS.values(), ids=SETS)
def test_a_label_set(corpora, emotions, project):
    table = project(corpora, emotions)
    split.main()
    fold_jobs.main(train.JOB, "baseline")
    embed.main()
    compare.main()

    selected = table[table["emotion"].isin(emotions)]
    predicted = pd.read_csv("metrics/predictions/baseline.csv")
    assert sorted(predicted["clip"]) == sorted(selected["clip"])
    assert set(predicted.columns) >= set(emotions)
    details = json.loads(Path("metrics/details.json").read_text())
    metrics = details["arms"]["baseline"]
    assert metrics["overall"]["recall"].keys() == set(emotions)
    assert metrics["overall"]["ua"]["value"] == pytest.approx(
        balanced_accuracy_score(predicted["emotion"], predicted["predicted"]), abs=1e-6
    )
    for corpus in corpora:
        assert metrics["corpora"][corpus]["recall"].keys() == set(emotions) & set(HELD[corpus])
    assert json.loads(Path("data/embeddings.json").read_text())["emotions"] == emotions
    for fold in load_dataset(emotions, "speaker").folds:
        centroids = checkpoints.load("data/embeddings", fold)["centroids"]
        assert len(centroids) == len(emotions) and torch.isfinite(centroids).all()
    assert {path.stem for path in Path("plots").glob("*.png")} >= {"confusion", "learning_curves", "recall", "ua"}


def test_an_emotion_that_no_selected_corpus_holds(project):
    project(["emodb"], [*SIX, "calm"])
    with pytest.raises(InputError, match="^params.yaml: key `emotions`: .*no clip carries: calm$"):
        split.main()


def test_a_split_of_other_emotions_is_refused(project):
    project([*HELD], SIX)
    split.main()
    for emotions in (SIX[:5], [*SIX, "calm"]):
        change({"emotions": emotions})
        with pytest.raises(InputError, match="^data/splits.csv divides .*sadness, but .*: key `emotions` lists anger"):
            fold_jobs.main(train.JOB, "baseline")


def test_one_corpus_tested_by_the_other(project):
    table = project([*HELD], SIX)
    change({"split": {"protocol": "cross_corpus"}})
    split.main()
    folds = load_dataset(params.read("emotions", list[str]), "cross_corpus").folds
    assert [{clip.split("/")[0] for clip in fold.test} for fold in folds] == [{"emodb"}, {"ravdess"}]
    fold_jobs.main(train.JOB, "baseline")
    compare.main()
    details = json.loads(Path("metrics/details.json").read_text())
    assert details["protocol"] == "cross_corpus" and not details["leaks"]
    assert details["clips"] == table["emotion"].isin(SIX).sum()
