from pathlib import Path

import pandas as pd
import pytest
import torch

from ser.core.errors import InputError
from ser.core.fold import Run
from ser.data import splits
from ser.data.dataset import FILES, load_dataset
from tests.helpers.constants import EMOTIONS


def test_the_dataset_has_clips_emotions_and_folds(toy, table):
    assert toy.class_names == EMOTIONS
    assert toy.emotion_of == dict(zip(table["clip"], table["emotion"], strict=True))
    assert [fold.name for fold in toy.folds] == ["0-0", "0-1", "0-2", "0-3"]
    assert sorted(clip for fold in toy.folds for clip in fold.test) == list(table["clip"])


def test_the_dataset_needs_no_mels_until_clips_are_loaded(toy):
    for path in FILES:
        if path.startswith("data/mels"):
            Path(path).unlink()
    dataset = load_dataset(EMOTIONS, "speaker")
    with pytest.raises(InputError, match=r"^data/mels: not a readable mel store"):
        dataset.clips(dataset.folds[0].train, "cpu")


def test_a_split_that_leaks_is_refused(toy):
    split = pd.read_csv("data/splits.csv")
    row = split.index[(split.fold == 0) & (split.role == "test")][0]
    split.loc[row, "role"] = "train"
    split.to_csv("data/splits.csv", index=False)
    with pytest.raises(InputError, match=f"^split: clip {split['clip'][row]} "):
        load_dataset(EMOTIONS, "speaker")


def test_a_split_made_for_another_protocol_is_refused(toy, table):
    config = splits.SplitConfig(protocol="random", folds=4, repeats=1, validation=0.3, training=1.0, seed=0)
    splits.make(table, config).to_csv("data/splits.csv", index=False)
    load_dataset(EMOTIONS, "random")
    with pytest.raises(InputError, match="shares its speaker with a test clip of the same fold"):
        load_dataset(EMOTIONS, "speaker")


@pytest.mark.parametrize("name", ["catalogue", "splits"])
def test_a_missing_table_says_what_to_do(toy, name):
    Path(f"data/{name}.csv").unlink()
    with pytest.raises(InputError, match=f"data/{name}.csv.*run `dvc repro"):
        load_dataset(EMOTIONS, "speaker")


def test_a_split_of_other_emotions_is_refused(toy):
    message = "data/splits.csv divides clips of anger, neutral, sadness, but params.yaml: key `emotions` lists anger"
    with pytest.raises(InputError, match=f"^{message}; run `dvc repro split`"):
        load_dataset(["anger"], "speaker")


def test_predictions_have_a_row_per_test_clip(toy):
    fold = toy.folds[1]
    logits = torch.randn(len(fold.test), 3, generator=torch.Generator().manual_seed(0))
    table = toy.predictions(Run.of(fold, 2), fold.test, logits)
    assert list(table.columns) == ["repeat", "fold", "run", "clip", "emotion", "predicted", *EMOTIONS]
    assert set(zip(table["repeat"], table["fold"], table["run"])) == {(0, 1, 2)}
    assert list(table["clip"]) == fold.test
    assert list(table["emotion"]) == [toy.emotion_of[clip] for clip in fold.test]
    assert list(table["predicted"]) == [EMOTIONS[label] for label in logits.argmax(1)]
    assert abs(table[EMOTIONS].to_numpy() - logits.softmax(1).numpy()).max() < 1e-6
