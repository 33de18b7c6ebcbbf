"""What is known of clips, as numbers."""

import pandas as pd
import pytest
import torch

from ser.data import factors
from ser.data.factors import FACTORS
from tests.helpers.constants import EMOTIONS

ROWS = [  # clip, emotion, intensity, speaker, corpus, text
    ("a", "sadness", "normal", "emodb-08", "emodb", "01"),
    ("b", "anger", "strong", "ravdess-02", "ravdess", "01"),
    ("c", "neutral", "normal", "emodb-03", "emodb", "02"),
    ("d", "anger", "", "ravdess-10", "ravdess", "02"),
]


@pytest.fixture
def catalogue():
    return pd.DataFrame(ROWS, columns=["clip", *FACTORS])


def test_emotions_are_numbered_like_labels_and_the_others_alphabetically_from_one(catalogue):
    codes = factors.number(catalogue, ["d", "a", "b", "c"], EMOTIONS)
    assert codes.dtype == torch.long and codes.is_contiguous()
    assert dict(zip(FACTORS, codes.T.tolist())) == {
        "emotion": [1, 3, 1, 2],
        "intensity": [1, 2, 3, 2],  # an empty one is a value like others
        "speaker": [4, 2, 3, 1],
        "corpus": [2, 1, 2, 1],
        "text": [4, 1, 3, 2],  # sentence 01 of one corpus is not that of the other
    }


def test_only_the_clips_asked_for_have_numbers(catalogue):
    """Those of test clips are not counted, so that a fold does not depend on them."""
    codes = factors.number(catalogue, ["c", "d"], EMOTIONS)
    assert codes.tolist() == [[2, 2, 1, 1, 1], [1, 1, 2, 2, 2]]
    others = catalogue[catalogue["clip"].isin(["c", "d"])]
    assert torch.equal(codes, factors.number(others, ["c", "d"], EMOTIONS))


def test_the_numbers_of_emotions_do_not_depend_on_those_that_occur(catalogue):
    assert factors.number(catalogue, ["c"], EMOTIONS)[0, 0] == 1 + EMOTIONS.index("neutral")


def test_no_number_is_that_of_what_is_unknown(catalogue):
    assert (factors.number(catalogue, list("abcd"), EMOTIONS) != factors.UNKNOWN).all()


def test_an_unknown_emotion_or_clip_is_an_error(catalogue):
    with pytest.raises(ValueError, match="sadness"):
        factors.number(catalogue, ["a"], ["anger", "neutral"])
    with pytest.raises(KeyError, match="e"):
        factors.number(catalogue, ["e"], EMOTIONS)


def test_the_catalogue_stays_as_it_is(catalogue):
    before = catalogue.copy()
    factors.number(catalogue, list("abcd"), EMOTIONS)
    pd.testing.assert_frame_equal(catalogue, before)


def test_the_dataset_has_the_factors_of_its_clips(toy, table):
    clips = toy.folds[0].train
    codes = toy.factors(clips)
    assert codes.shape == (len(clips), len(FACTORS))
    assert torch.equal(codes[:, 0], 1 + toy.labels(clips))
    assert torch.equal(codes, factors.number(table, clips, EMOTIONS))
    for column, factor in enumerate(FACTORS):
        values = table.set_index("clip").loc[clips, factor]
        assert pd.crosstab(values.to_numpy(), codes[:, column].numpy()).astype(bool).to_numpy().sum(0).max() == 1
