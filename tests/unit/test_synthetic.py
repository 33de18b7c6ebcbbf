import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ser.core.errors import InputError
from ser.data import mel_store, splits, synthetic
from ser.data.dataset import FILES, load_dataset
from tests.conftest import EMOTIONS

FOLDER = Path("data/synthetic/diffusion")


def write(folds, digest=None):
    """A pack of two clips an emotion and fold, every cell of which is minus the number of the fold."""
    mel_store.write(
        FOLDER,
        (
            (
                {
                    "clip": f"diffusion/{fold.name}/{emotion}-{take}",
                    "repeat": fold.repeat,
                    "fold": fold.fold,
                    "emotion": emotion,
                    "training": digest or fold.training_digest,
                },
                np.full((16, 8), -fold.fold),
            )
            for fold in folds
            for emotion in EMOTIONS
            for take in range(2)
        ),
    )


def test_only_the_clips_of_the_fold_are_returned(toy):
    write(toy.folds)
    for fold in toy.folds:
        clips = synthetic.clips(FOLDER, fold, EMOTIONS, "cpu")
        assert len(clips) == 6
        assert clips.emotion.tolist() == [0, 0, 1, 1, 2, 2]
        assert clips.frames.unique().tolist() == [-fold.fold]
        assert clips.crops(torch.arange(6), 16, 0.5).shape == (6, 1, 8, 16)


def test_another_repeat_has_clips_of_its_own(toy):
    write([*toy.folds, splits.Fold(1, 0, ["a"], ["b"], ["c"])])
    assert len(synthetic.clips(FOLDER, toy.folds[0], EMOTIONS, "cpu")) == 6


@pytest.mark.parametrize("number", [0, 1])
def test_clips_made_from_other_training_clips_are_refused(toy, number):
    write(toy.folds, digest=toy.folds[number].training_digest)
    synthetic.clips(FOLDER, toy.folds[number], EMOTIONS, "cpu")
    with pytest.raises(
        InputError,
        match=f"^{FOLDER}: a synthetic clip was not made from the training part of "
        rf"repeat 0 fold {1 - number} .*would leak",
    ):
        synthetic.clips(FOLDER, toy.folds[1 - number], EMOTIONS, "cpu")


def test_one_foreign_clip_among_many_is_refused(toy):
    write(toy.folds)
    index = pd.read_csv(FOLDER / "index.csv")
    index.loc[5, "training"] = toy.folds[1].training_digest
    index.to_csv(FOLDER / "index.csv", index=False)
    with pytest.raises(InputError, match="a synthetic clip was not made from the training part of repeat 0 fold 0"):
        synthetic.clips(FOLDER, toy.folds[0], EMOTIONS, "cpu")


@pytest.mark.parametrize("number", [r"0\d{15}", r"\d{8,14}e\d+"])
def test_a_digest_that_looks_like_a_number_is_a_digest_still(tmp_path, monkeypatch, number):
    monkeypatch.chdir(tmp_path)
    folds = (splits.Fold(0, 1, [str(clip)], ["b"], ["c"]) for clip in range(10**6))
    fold = next(fold for fold in folds if re.fullmatch(number, fold.training_digest))
    write([fold])
    synthetic.clips(FOLDER, fold, EMOTIONS, "cpu")


def test_a_fold_without_synthetic_clips_is_refused(toy):
    write(toy.folds[1:])
    with pytest.raises(InputError, match=f"^{FOLDER}"):
        synthetic.clips(FOLDER, toy.folds[0], EMOTIONS, "cpu")


def test_a_missing_pack_says_what_to_do(toy):
    with pytest.raises(InputError, match=f"^{FOLDER}: not a readable pack of mels"):
        synthetic.clips(FOLDER, toy.folds[0], EMOTIONS, "cpu")


# The real clips


def test_the_study_knows_clips_emotions_and_folds(toy, table):
    assert toy.emotions == EMOTIONS
    assert toy.emotion == dict(zip(table["clip"], table.emotion, strict=True))
    assert [fold.name for fold in toy.folds] == ["0-0", "0-1", "0-2", "0-3"]
    assert sorted(clip for fold in toy.folds for clip in fold.test) == list(table["clip"])


def test_the_study_needs_no_mels_until_clips_are_asked_for(toy):
    for path in FILES:
        if path.startswith("data/mels"):
            Path(path).unlink()
    real = load_dataset(EMOTIONS, "speaker")
    with pytest.raises(InputError, match=r"^data/mels: not a readable pack of mels"):
        real.clips(real.folds[0].train, "cpu")


def test_a_split_that_leaks_is_refused(toy):
    split = pd.read_csv("data/splits.csv")
    row = split.index[(split.fold == 0) & (split.role == "test")][0]
    split.loc[row, "role"] = "train"
    split.to_csv("data/splits.csv", index=False)
    with pytest.raises(InputError, match=f"^split: clip {split['clip'][row]} "):
        load_dataset(EMOTIONS, "speaker")


def test_a_split_made_for_another_protocol_is_refused(toy, table):
    settings = splits.Split(protocol="random", folds=4, repeats=1, validation=0.3, training=1.0, seed=0)
    splits.make(table, settings).to_csv("data/splits.csv", index=False)
    load_dataset(EMOTIONS, "random")
    with pytest.raises(InputError, match="shares its speaker with a test clip of the same fold"):
        load_dataset(EMOTIONS, "speaker")


@pytest.mark.parametrize("name", ["catalogue", "splits"])
def test_a_missing_table_says_what_to_do(toy, name):
    Path(f"data/{name}.csv").unlink()
    with pytest.raises(InputError, match=f"data/{name}.csv.*run `dvc repro"):
        load_dataset(EMOTIONS, "speaker")
