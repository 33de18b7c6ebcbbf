import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ser.core.errors import InputError
from ser.core.fold import Fold
from ser.data import mel_store, synthetic
from tests.helpers.constants import EMOTIONS

FOLDER = Path("data/synthetic/diffusion")


def write(folds, digest=None):
    """Write two clips per emotion and fold; every cell is minus the number of the fold."""
    mel_store.write(
        FOLDER,
        (
            (
                {
                    "clip": f"diffusion/{fold.name}/{emotion}-{take}",
                    "repeat": fold.repeat,
                    "fold": fold.fold,
                    "emotion": emotion,
                    "train_digest": digest or fold.train_digest,
                },
                np.full((8, 16), -fold.fold),
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
        assert clips.labels.tolist() == [0, 0, 1, 1, 2, 2]
        assert clips.frames.unique().tolist() == [-fold.fold]
        assert clips.crops(torch.arange(6), 16, 0.5).shape == (6, 1, 8, 16)


def test_another_repeat_has_clips_of_its_own(toy):
    write([*toy.folds, Fold(1, 0, ["a"], ["b"], ["c"])])
    assert len(synthetic.clips(FOLDER, toy.folds[0], EMOTIONS, "cpu")) == 6


@pytest.mark.parametrize("number", [0, 1])
def test_clips_made_from_other_training_clips_are_refused(toy, number):
    write(toy.folds, digest=toy.folds[number].train_digest)
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
    index.loc[5, "train_digest"] = toy.folds[1].train_digest
    index.to_csv(FOLDER / "index.csv", index=False)
    with pytest.raises(InputError, match="a synthetic clip was not made from the training part of repeat 0 fold 0"):
        synthetic.clips(FOLDER, toy.folds[0], EMOTIONS, "cpu")


@pytest.mark.parametrize("number", [r"0\d{15}", r"\d{8,14}e\d+"])
def test_a_digest_that_looks_like_a_number_stays_a_digest(tmp_path, monkeypatch, number):
    monkeypatch.chdir(tmp_path)
    folds = (Fold(0, 1, [str(clip)], ["b"], ["c"]) for clip in range(10**6))
    fold = next(fold for fold in folds if re.fullmatch(number, fold.train_digest))
    write([fold])
    synthetic.clips(FOLDER, fold, EMOTIONS, "cpu")


def test_a_fold_without_synthetic_clips_is_refused(toy):
    write(toy.folds[1:])
    with pytest.raises(InputError, match=f"^{FOLDER}"):
        synthetic.clips(FOLDER, toy.folds[0], EMOTIONS, "cpu")


def test_a_missing_store_says_what_to_do(toy):
    with pytest.raises(InputError, match=f"^{FOLDER}: not a readable mel store"):
        synthetic.clips(FOLDER, toy.folds[0], EMOTIONS, "cpu")
