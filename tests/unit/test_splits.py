import contextlib
import hashlib
import tempfile
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scripts import named
from ser.core.errors import InputError
from ser.core.fold import Fold
from ser.data import splits
from tests.helpers.constants import MORE
from tests.helpers.project import ROOT

PROTOCOLS = ["speaker", "loso", "text", "speaker_text", "cross_corpus", "random", "given"]
APART = {
    "speaker": ["speaker"],
    "loso": ["speaker"],
    "text": ["text"],
    "speaker_text": ["speaker", "text"],
    "cross_corpus": ["corpus"],
    "random": [],
    "given": ["speaker"],
}
FILE = f"{splits.GIVEN}/folds.csv"
EMOTIONS = ["anger", "disgust", "fear", "happiness", "neutral", "sadness"]


def split_config(protocol="speaker", **change):
    defaults = {"folds": 2, "repeats": 1, "validation": 0.15, "training": 1.0, "seed": 0}
    return splits.SplitConfig(protocol=protocol, **defaults | change)


def divide(table, protocol, by="clip", with_validation=False, **change):
    """The split under a protocol; under `given` from a file that holds the folds of the protocol `speaker`."""
    if protocol != "given":
        return splits.make(table, split_config(protocol, **change))
    source = splits.make(table, split_config(**change | {"training": 1.0}))
    return from_file(table, as_file(source, table, by, with_validation), **change)


def as_file(split, table, by, with_validation=True):
    """The content of a file for `given` that divides clips as a split does."""
    rows = split.merge(table[["clip", "speaker"]], on="clip")[["repeat", "fold", "role", by]].drop_duplicates()
    if not with_validation:
        rows["role"] = rows["role"].replace("validation", "train")
    return rows.to_csv(index=False)


def from_file(table, content, **change):
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        if content is not None:
            Path(FILE).parent.mkdir(parents=True)
            Path(FILE).write_bytes(content if isinstance(content, bytes) else content.encode())
        return splits.make(table, split_config("given", file=FILE, **change))


def catalogue(rows):
    columns = ["corpus", "speaker", "sex", "text", "emotion", "take"]
    table = pd.DataFrame(rows, columns=columns).astype({"take": str})
    table["clip"] = table[["speaker", "text", "emotion", "take"]].agg("_".join, axis=1)
    table["sha256"] = table["clip"]
    return table.sort_values("clip", ignore_index=True)


@st.composite
def catalogues(draw):
    """Up to three corpora of 4 to 6 speakers and 4 or 5 texts; every speaker says every text in two emotions.

    There are one or two takes of each, and some files are identical although their emotion or take differs.
    """
    rows = []
    for corpus in "abc"[: draw(st.integers(1, 3))]:
        texts = [f"{corpus}-{text}" for text in range(draw(st.integers(4, 5)))]
        for number in range(draw(st.integers(4, 6))):
            sex = draw(st.sampled_from(["female", "male"]))
            for text, emotion in product(texts, EMOTIONS[:2]):
                takes = range(draw(st.integers(1, 2)))
                rows += [(corpus, f"{corpus}-{number}", sex, text, emotion, take) for take in takes]
    table = catalogue(rows)
    copies = draw(st.lists(st.integers(0, len(table) - 1), max_size=10))
    for _, rows in table.loc[sorted(set(copies))].groupby(["speaker", "text"]):
        same = (table.speaker == rows.speaker.iloc[0]) & (table.text == rows.text.iloc[0])
        table.loc[same, "sha256"] = rows["clip"].iloc[0]
    return table


def study():
    """The structure of EmoDB and RAVDESS: 10 and 24 speakers, half of them women, ten and two sentences."""
    rows = []
    for number, text, emotion in product(range(10), range(10), EMOTIONS):
        if (number + text + len(emotion)) % 3:
            rows.append(("emodb", f"emodb-{number:02}", ["male", "female"][number % 2], f"emodb-{text}", emotion, 1))
    for number, text, emotion, take in product(range(24), range(2), EMOTIONS, (1, 2)):
        sex = ["male", "female"][number % 2]
        rows.append(("ravdess", f"ravdess-{number:02}", sex, f"ravdess-{text}", emotion, take))
    return catalogue(rows)


def study_for(protocol):
    """The study, or for loso, which has a fold per speaker, every fourth speaker of it."""
    table = study()
    if protocol == "loso":
        table = table[table["speaker"].str[-2:].astype(int) % 4 == 3].reset_index(drop=True)
    return table


@cache
def study_split(protocol):
    return splits.make(study(), split_config(protocol, repeats=2))


def parts(split, table, repeat, fold):
    """The rows of the catalogue of each role in one fold."""
    rows = split[(split.repeat == repeat) & (split.fold == fold)]
    return {role: table[table["clip"].isin(rows["clip"][rows.role == role])] for role in splits.ROLES}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(
    table=catalogues(),
    folds=st.integers(2, 3),
    repeats=st.integers(1, 2),
    seed=st.integers(0, 1000),
    share=st.just(1.0) | st.floats(0.01, 1),
    by=st.sampled_from(["clip", "speaker"]),
    with_validation=st.booleans(),
    validation=st.sampled_from([0.0, 0.15]),
)
@settings(max_examples=15 * MORE, deadline=None)
def test_no_fold_leaks(protocol, table, folds, repeats, seed, share, by, with_validation, validation):
    assume(protocol != "cross_corpus" or table.corpus.nunique() > 1)
    change = {"folds": folds, "repeats": repeats, "seed": seed, "training": share, "validation": validation}
    split = divide(table, protocol, by, with_validation, **change)
    assert sorted(split.repeat.unique()) == list(range(repeats))
    for repeat in range(repeats):
        tested = split[(split.repeat == repeat) & (split.role == "test")]
        assert sorted(tested["clip"]) == sorted(table["clip"])
    for repeat, fold in split[["repeat", "fold"]].drop_duplicates().itertuples(index=False):
        roles = parts(split, table, repeat, fold)
        assert len(roles["train"]) and len(roles["test"]) and bool(len(roles["validation"])) == bool(validation)
        assert len(split[(split.repeat == repeat) & (split.fold == fold)]) == sum(map(len, roles.values()))
        if protocol != "speaker_text" and share == 1:
            assert sum(map(len, roles.values())) == len(table)
        for column in ["sha256", *APART[protocol]]:
            train, validation, test = (set(rows[column]) for rows in roles.values())
            assert not test & (train | validation)
        for column in ["sha256", *(["speaker"] if protocol != "random" else [])]:
            assert not set(roles["train"][column]) & set(roles["validation"][column])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(table=catalogues(), seed=st.integers(0, 1000), data=st.data())
@settings(max_examples=15 * MORE, deadline=None)
def test_a_planted_leak_is_refused(protocol, table, seed, data):
    assume(protocol != "cross_corpus" or table.corpus.nunique() > 1)
    split = divide(table, protocol, seed=seed)
    tested = data.draw(st.sampled_from(list(split.index[split["role"] == "test"])), "tested")
    row = split.loc[tested]
    same_fold = split[(split["repeat"] == row["repeat"]) & (split["fold"] == row["fold"])]
    trained = data.draw(st.sampled_from(list(same_fold["clip"][same_fold["role"] == "train"])), "trained")
    leak = data.draw(st.sampled_from(["moved", "added", "sha256", *APART[protocol]]), "leak")
    if leak == "moved":
        split.loc[tested, "role"] = "train"
    elif leak == "added":
        split = pd.concat([split, pd.DataFrame([{**row, "role": "train"}])], ignore_index=True)
    else:
        shared = table.set_index("clip")[leak][trained]
        table.loc[table["clip"] == row["clip"], leak] = shared
    with pytest.raises(InputError, match="split: clip"):
        splits.check(split, table, protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_split_is_determined_by_seed_and_clips_not_by_their_order(protocol):
    table = study_for(protocol)
    split = divide(table, protocol, repeats=2)
    pd.testing.assert_frame_equal(divide(table, protocol, repeats=2), split)
    pd.testing.assert_frame_equal(divide(table.sample(frac=1, random_state=1), protocol, repeats=2), split)


@pytest.mark.parametrize("protocol", ["speaker", "text", "speaker_text", "random"])
def test_repeats_and_seeds_divide_the_clips_differently(protocol):
    table = study()
    tested = set()
    for seed in (0, 1):
        split = splits.make(table, split_config(protocol, repeats=2, seed=seed))
        for _, rows in split[(split.fold == 0) & (split.role == "test")].groupby("repeat"):
            tested.add(tuple(rows["clip"]))
    assert len(tested) == 4


def test_more_repeats_leave_the_first_one_as_it_was(table):
    once, twice = (splits.make(table, split_config(repeats=repeats)) for repeats in (1, 2))
    pd.testing.assert_frame_equal(twice[twice.repeat == 0], once)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("share", [0.001, 0.3])
def test_a_share_of_the_training_clips_leaves_validation_and_test_as_they_are(protocol, share):
    table = study_for(protocol)
    whole, part = (divide(table, protocol, training=training) for training in (1.0, share))
    held_out = [split[split["role"] != "train"].reset_index(drop=True) for split in (whole, part)]
    pd.testing.assert_frame_equal(*held_out)
    for repeat, fold in whole[["repeat", "fold"]].drop_duplicates().itertuples(index=False):
        all_train, train = (parts(split, table, repeat, fold)["train"] for split in (whole, part))
        assert set(train["clip"]) <= set(all_train["clip"])
        expected = {emotion: max(1, round(share * len(clips))) for emotion, clips in all_train.groupby("emotion")}
        assert train.groupby("emotion").size().to_dict() == expected


def test_a_smaller_share_is_part_of_a_larger_one_and_differs_between_folds_and_repeats():
    drawn = [splits.make(study(), split_config("random", repeats=2, training=share)) for share in (0.1, 0.25, 0.5)]
    drawn = [split[split["role"] == "train"] for split in drawn]
    small, medium, large = (set(zip(split["repeat"], split["fold"], split["clip"])) for split in drawn)
    assert small < medium < large
    assert len({tuple(clips) for _, clips in drawn[0].groupby(["repeat", "fold"])["clip"]}) == 4


@pytest.mark.parametrize(
    ("key", "share"), [("training", 0.0), ("training", 1.1), ("validation", -0.1), ("validation", 1.0)]
)
def test_a_share_outside_its_range_is_refused(key, share):
    with pytest.raises(ValueError, match=key):
        split_config(**{key: share})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_without_validation_its_clips_are_trained_on(protocol):
    table = study_for(protocol)
    held_out, nothing = (divide(table, protocol, repeats=2, validation=share) for share in (0.15, 0.0))
    assert (held_out["role"] == "validation").any()
    held_out["role"] = held_out["role"].replace("validation", "train")
    pd.testing.assert_frame_equal(nothing, held_out)


@pytest.mark.parametrize(
    ("protocol", "digest"),
    [
        ("speaker", "31bcfc85169fb8dc"),
        ("loso", "3b80b9192e8d03ca"),
        ("text", "e3acb12bb139219a"),
        ("speaker_text", "eb45fe02b673d678"),
        ("cross_corpus", "853242c4bf2bcd9b"),
        ("random", "ffeeff321540a8f7"),
    ],
)
def test_splits_stay_those_of_the_committed_results(protocol, digest):
    assert hashlib.sha256(study_split(protocol).to_csv(index=False).encode()).hexdigest()[:16] == digest


# The structure of the two real corpora


@pytest.mark.parametrize("seed", range(5))
def test_folds_are_balanced_by_corpus_and_sex(seed):
    table = study()
    split = splits.make(table, split_config(folds=5, seed=seed))
    for fold in range(5):
        roles = parts(split, table, 0, fold)
        speakers = {role: rows.drop_duplicates("speaker") for role, rows in roles.items()}
        test = speakers["test"].groupby(["corpus", "sex"]).size()
        assert (test["emodb"] == 1).all()
        assert test["ravdess"].between(2, 3).all()
        assert speakers["validation"].groupby("corpus").size().to_dict() == {"emodb": 1, "ravdess": 3}


def test_loso_leaves_each_speaker_out_once():
    split = study_split("loso")
    tested = (
        split[(split.role == "test") & (split.repeat == 0)].merge(study(), on="clip").groupby("fold").speaker.unique()
    )
    assert len(tested) == 34 and all(len(speakers) == 1 for speakers in tested)
    assert len({speakers[0] for speakers in tested}) == 34


def test_cross_corpus_tests_each_corpus_once_a_repeat_and_trains_on_the_others():
    table = study()
    table = pd.concat([table, table[table.corpus == "emodb"].replace("emodb", "demo", regex=True)], ignore_index=True)
    split = splits.make(table, split_config("cross_corpus", folds=5, repeats=2))
    assert split.groupby("repeat").fold.nunique().to_dict() == {0: 3, 1: 3}
    for repeat in (0, 1):
        for fold, corpus in enumerate(("demo", "emodb", "ravdess")):
            roles = parts(split, table, repeat, fold)
            assert set(roles["test"]["clip"]) == set(table["clip"][table.corpus == corpus])
            others = {"demo", "emodb", "ravdess"} - {corpus}
            assert set(roles["train"].corpus) == set(roles["validation"].corpus) == others


def test_cross_corpus_with_one_corpus(table):
    only = table[table.corpus == "emodb"]
    with pytest.raises(InputError, match="cross_corpus` leaves one corpus out, but there is only emodb;"):
        splits.make(only, split_config("cross_corpus"))


def test_cross_corpus_with_an_emotion_of_one_corpus(table):
    table.loc[(table.corpus == "emodb") & (table.emotion == "sadness"), "emotion"] = "boredom"
    table = table[table.emotion != "sadness"]
    with pytest.raises(InputError, match="fold 0 trains on no clip of boredom; drop it from `emotions`"):
        splits.make(table, split_config("cross_corpus"))


def test_speaker_and_text_keeps_both_apart():
    table = study()
    split = splits.make(table, split_config("speaker_text", folds=5))
    assert sorted(split.fold.unique()) == list(range(10))
    roles = parts(split, table, 0, 0)
    assert roles["test"].groupby("corpus").text.nunique().to_dict() == {"emodb": 5, "ravdess": 1}
    left_out = table[~table["clip"].isin(pd.concat(roles.values())["clip"])]
    assert (left_out.speaker.isin(roles["test"].speaker) | left_out.text.isin(roles["test"].text)).all()


def test_random_folds_are_stratified_by_emotion_and_share_speakers():
    table = study()
    split = splits.make(table, split_config("random", folds=5))
    roles = parts(split, table, 0, 0)
    share = roles["test"].groupby(["corpus", "emotion"]).size() / table.groupby(["corpus", "emotion"]).size()
    assert share.between(0.15, 0.25).all()
    assert set(roles["test"].speaker) <= set(roles["train"].speaker)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_the_share_of_validation_speakers(share):
    table = study()
    roles = parts(splits.make(table, split_config(folds=5, validation=share)), table, 0, 0)
    ravdess = {role: rows[rows.corpus == "ravdess"].speaker.nunique() for role, rows in roles.items()}
    assert ravdess["validation"] == round(share * (24 - ravdess["test"]))


# Identical files


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_identical_files_of_a_speaker_stay_on_one_side(protocol):
    table = study_for(protocol)
    first, second = "ravdess-07_ravdess-1_anger_1", "ravdess-07_ravdess-1_anger_2"
    table.loc[table["clip"] == second, "sha256"] = first
    for seed in range(8):  # apart by chance about once in two
        split = divide(table, protocol, seed=seed)
        roles = split[split["clip"].isin([first, second])].groupby("fold").role.unique()
        assert all(len(role) == 1 for role in roles)


@pytest.mark.parametrize("protocol", ["speaker", "loso", "text", "speaker_text"])
def test_speakers_or_sentences_that_share_a_file_stay_on_one_side(protocol):
    table = study_for(protocol)
    first, second = "ravdess-07_ravdess-1_anger_1", "emodb-03_emodb-7_fear_1"
    assert {first, second} <= set(table["clip"])
    table.loc[table["clip"] == second, "sha256"] = first
    for seed in range(4):
        splits.make(table, split_config(protocol, folds=5, seed=seed))


def test_a_large_share_of_validation_leaves_someone_to_train_on(table):
    split = splits.make(table, split_config(validation=0.9))
    assert (split.role == "train").any()


# Refusals


@pytest.mark.parametrize(
    ("protocol", "groups"), [("speaker", "8 speakers"), ("text", "4 texts"), ("random", "48 clips")]
)
def test_more_folds_than_groups(table, protocol, groups):
    with pytest.raises(InputError, match=f"params.yaml: `split.folds` is 49, but there are only {groups}"):
        splits.make(table, split_config(protocol, folds=49))


def test_too_few_speakers_for_validation(table):
    pair = table[table.speaker.isin(["emodb-01", "emodb-02"])]
    remedy = "set `split.validation` to 0 or change `split.folds`"
    with pytest.raises(InputError, match=f"split: repeat 0 fold 0 has too few speakers to hold any out.*; {remedy}"):
        splits.make(pair, split_config())
    assert set(splits.make(pair, split_config(validation=0.0))["role"]) == {"train", "test"}


@pytest.fixture
def split(table):
    return splits.make(table, split_config())


def role_of(split, clip, fold=0):
    return (split["clip"] == clip) & (split.fold == fold)


def first_of(split, role, fold=0):
    return split["clip"][(split.role == role) & (split.fold == fold)].iloc[0]


def test_a_sound_split_passes(split, table):
    splits.check(split, table, "speaker")


def refused(split, table, clip, why, protocol="speaker"):
    remedy = "correct the table in `split.file`, then run" if protocol == "given" else "run"
    message = rf"^split: clip {clip} \(repeat 0 fold \d\) {why}.*; {remedy} `dvc repro split`$"
    with pytest.raises(InputError, match=message):
        splits.check(split, table, protocol)


def test_an_unknown_clip(split, table):
    split.loc[5, "clip"] = "emodb/unheard"
    refused(split, table, "emodb/unheard", "is not in the catalogue")


def test_an_unknown_role(split, table):
    split.loc[5, "role"] = "tset"
    refused(split, table, split["clip"][5], "is not in the catalogue or has an unknown role")


def test_two_roles_in_one_fold(split, table):
    clip = first_of(split, "test")
    extra = split[role_of(split, clip)].assign(role="train")
    refused(pd.concat([split, extra]), table, clip, "has two roles in one fold")


def test_tested_twice(split, table):
    clip = first_of(split, "test", fold=0)
    split.loc[role_of(split, clip, fold=1), "role"] = "test"
    refused(split, table, clip, "is tested twice in one repeat")


def test_never_tested(split, table):
    clip = first_of(split, "test")
    refused(split[~role_of(split, clip)], table, clip, "is never tested")


def test_never_tested_in_the_second_repeat(table):
    split = splits.make(table, split_config(repeats=2))
    row = split.index[(split.repeat == 1) & (split.role == "test")][0]
    with pytest.raises(InputError, match=rf"clip {split['clip'][row]} \(repeat 1 fold \d\) is never tested"):
        splits.check(split.drop(row), table, "speaker")


@pytest.mark.parametrize(
    ("role", "rows"),
    [
        (
            "test",
            [
                (1, "c", "test"),
                (1, "d", "test"),
                (1, "a", "validation"),
                (1, "b", "train"),
                (2, "c", "train"),
                (2, "d", "validation"),
            ],
        ),
        ("train", [(1, "c", "test"), (1, "d", "test"), (1, "a", "validation"), (1, "b", "validation")]),
    ],
)
def test_an_empty_role(role, rows):
    table = pd.DataFrame({column: list("abcd") for column in ("clip", "corpus", "speaker", "text", "sha256")})
    table["emotion"] = "anger"
    rows = [(0, "a", "test"), (0, "b", "test"), (0, "c", "validation"), (0, "d", "train"), *rows]
    split = pd.DataFrame(rows, columns=["fold", "clip", "role"]).assign(repeat=0)
    with pytest.raises(InputError, match=rf"split: repeat 0 fold \d has no {role} clips; change `split.folds`"):
        splits.check(split, table, "speaker")


@pytest.mark.parametrize("role", ["train", "validation"])
def test_a_test_corpus_in(role, table):
    split = splits.make(table, split_config("cross_corpus"))
    splits.check(split, table, "cross_corpus")
    clip = first_of(split, role)
    table.loc[table["clip"] == clip, ["corpus"]] = table.corpus[table["clip"] == first_of(split, "test")].iloc[0]
    refused(split, table, clip, "shares its corpus with a test clip of the same fold", "cross_corpus")


@pytest.mark.parametrize("role", ["train", "validation"])
def test_a_test_speaker_in(role, split, table):
    speaker = table.speaker[table["clip"] == first_of(split, role)].iloc[0]
    tested = first_of(split, "test")
    table.loc[table["clip"] == tested, "speaker"] = speaker
    clip = first_of(split[split["clip"].isin(table["clip"][table.speaker == speaker])], role)
    refused(split, table, clip, "shares its speaker with a test clip of the same fold")


@pytest.mark.parametrize("protocol", ["speaker", "loso", "speaker_text", "given"])
def test_a_validation_speaker_in_training(protocol, split, table):
    table["text"] = table["clip"]  # so that only speakers can leak
    speaker = table.speaker[table["clip"] == first_of(split, "validation")].iloc[0]
    clip = first_of(split, "train")
    table.loc[table["clip"] == clip, "speaker"] = speaker
    refused(split, table, clip, "shares its speaker with a validation clip of the same fold", protocol)


@pytest.mark.parametrize("spelling", ["{} ", " {}", "{}\u200b", "\u00ad{}", "upper"])
@pytest.mark.parametrize(("column", "protocol"), [("speaker", "speaker"), ("text", "text"), ("corpus", "cross_corpus")])
def test_another_spelling_of_a_name_is_the_same_name(table, column, protocol, spelling):
    split = splits.make(table, split_config(protocol))
    clip = first_of(split, "train")
    tested = table[column][table["clip"] == first_of(split, "test")].iloc[0]
    table.loc[table["clip"] == clip, column] = tested.upper() if spelling == "upper" else spelling.format(tested)
    refused(split, table, clip, f"shares its {column} with a test clip of the same fold", protocol)


@pytest.mark.parametrize("protocol", ["text", "speaker_text"])
def test_a_test_sentence_in_training(protocol, split, table):
    table["speaker"] = table["text"] = table["clip"]
    splits.check(split, table, protocol)
    clip = first_of(split, "train")
    table.loc[table["clip"] == clip, "text"] = first_of(split, "test")
    refused(split, table, clip, "shares its text with a test clip of the same fold", protocol)


@pytest.mark.parametrize(("kept_out", "role"), [("test", "train"), ("test", "validation"), ("validation", "train")])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_identical_files_on_two_sides(protocol, kept_out, role, split, table):
    table["corpus"] = table["speaker"] = table["text"] = table["clip"]
    clip = first_of(split, role)
    table.loc[table["clip"] == clip, "sha256"] = table.sha256[table["clip"] == first_of(split, kept_out)].iloc[0]
    refused(split, table, clip, f"shares its sha256 with a {kept_out} clip of the same fold", protocol)


def test_an_emotion_that_is_not_trained_on(split, table):
    trained = split["clip"][(split.role == "train") & (split.fold == 1)]
    table.loc[table["clip"].isin(trained) & (table.emotion == "sadness"), "emotion"] = "anger"
    why = "repeat 0 fold 1 trains on no clip of sadness; drop it from `emotions`, lower `split.validation`"
    with pytest.raises(InputError, match=f"^split: {why}"):
        splits.check(split, table, "speaker")


def test_random_may_share_speakers(split, table):
    table["speaker"] = table["text"] = "one"
    splits.check(split, table, "random")


# Folds that a file gives


@pytest.mark.parametrize("by", ["clip", "speaker"])
def test_folds_are_those_of_the_file(by):
    table, source = study(), study_split("speaker")
    pd.testing.assert_frame_equal(from_file(table, as_file(source, table, by), seed=7), source)


@pytest.mark.parametrize("by", ["clip", "speaker"])
def test_a_fold_without_validation_rows_holds_out_training_speakers(by):
    table, source = study(), study_split("speaker")
    source = source[source["repeat"] == 0]
    held_out = source[(source["fold"] == 0) & (source["role"] == "validation")]
    others = as_file(source.drop(held_out.index), table, by)
    _, _, in_training = as_file(held_out, table, by, with_validation=False).partition("\n")
    split = from_file(table, others + in_training, validation=0.3)
    pd.testing.assert_frame_equal(*(each[each["fold"] == 1].reset_index(drop=True) for each in (split, source)))
    roles, before = parts(split, table, 0, 0), parts(source, table, 0, 0)
    assert list(roles["test"]["clip"]) == list(before["test"]["clip"])
    speakers = {role: rows.groupby("corpus")["speaker"].nunique().to_dict() for role, rows in roles.items()}
    assert speakers == {
        "train": {"emodb": 3, "ravdess": 8},
        "validation": {"emodb": 2, "ravdess": 4},  # 0.3 of 5 and of 12, rounded
        "test": {"emodb": 5, "ravdess": 12},
    }


# Speakers of the fixture `table`, in a file without the column `repeat`; its folds are numbered from 1.
LINES = """fold,role,speaker
1,test,emodb-01
1,test,emodb-02
1,test,ravdess-01
1,test,ravdess-02
1,train,emodb-03
1,train,emodb-04
1,train,ravdess-03
1,train,ravdess-04
2,test,emodb-03
2,test,emodb-04
2,test,ravdess-03
2,test,ravdess-04
2,train,emodb-01
2,train,emodb-02
2,train,ravdess-01
2,train,ravdess-02
""".splitlines()


def content(changes):
    """The file with some of its lines replaced, by number, or left out (None)."""
    lines = [changes.get(number, line) for number, line in enumerate(LINES, 1)]
    return "\n".join(line for line in lines if line is not None)


def test_folds_keep_their_numbers_and_the_file_decides_how_many_folds_and_repeats_there_are(table):
    split = from_file(table, content({}), folds=9, repeats=3)
    assert split[["repeat", "fold"]].drop_duplicates().to_numpy().tolist() == [[0, 1], [0, 2]]
    assert set(parts(split, table, 0, 2)["test"]["speaker"]) == {"emodb-03", "emodb-04", "ravdess-03", "ravdess-04"}


def test_a_speaker_without_a_row_has_no_part_in_a_fold(table):
    split = from_file(table, content({6: "1,validation,emodb-03", 9: None}))
    speakers = {role: set(rows["speaker"]) for role, rows in parts(split, table, 0, 1).items()}
    assert speakers["train"] == {"emodb-04", "ravdess-03"} and speakers["validation"] == {"emodb-03"}
    assert "ravdess-04" not in speakers["test"]


def test_what_editors_add_to_a_file_changes_nothing(table):
    padded = "\r\n\r\n".join(line.replace(",", " , ") for line in LINES)
    pd.testing.assert_frame_equal(from_file(table, b"\xef\xbb\xbf" + padded.encode()), from_file(table, content({})))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({1: "fold,part,speaker"}, "column role is missing; expected are fold, role"),
        ({1: "fold;role;speaker"}, "its cells are separated by semicolons; expected are commas"),
        ({1: "fold,role,name"}, "expected a column `clip` or a column `speaker`, found neither"),
        ({1: "fold,role,speaker,clip"}, "expected a column `clip` or a column `speaker`, found both"),
        ({1: "fold,role,speaker,sex"}, "unknown column 'sex'; known are repeat, fold, role, speaker"),
        ({1: "fold,role,speaker,role"}, "column 'role' occurs twice"),
        ({3: "1,test,emodb-02,x"}, ", line 3: more cells than the header has"),
        (dict.fromkeys(range(2, 18)), "it has no rows"),
        ({3: "1,test,emodb-2"}, "line 3, column speaker: 'emodb-2'; expected one that `corpora` and `emotions` select"),
        (
            {3: "1,test"},
            "line 3, column speaker: ''; expected one that `corpora` and `emotions` select, such as emodb-",
        ),
        ({2: "\n\n1,test,emodb-1"}, "line 4, column speaker: 'emodb-1'; expected"),
        ({3: "1,tset,emodb-02"}, "line 3, column role: 'tset'; expected one of train, validation, test"),
        ({3: "-1,test,emodb-02"}, "line 3, column fold: '-1'; expected a number from 0 to 9999"),
        ({3: "1.0,test,emodb-02"}, "line 3, column fold: '1.0'; expected a number from 0 to 9999"),
        ({1: "fold,role,speaker,repeat"}, "line 2, column repeat: ''; expected a number from 0 to 9999"),
        ({3: "1,test,emodb-01"}, "line 3: 'emodb-01' has a role in repeat 0 fold 1 already"),
        ({6: "1,train,emodb-01"}, "line 6: 'emodb-01' has a role in repeat 0 fold 1 already"),
        ({6: "01,train,emodb-01"}, "line 6: 'emodb-01' has a role in repeat 0 fold 1 already"),
        ({6: "1,test,emodb-03"}, "line 10: 'emodb-03' is tested by repeat 0 fold 1 already"),
        (
            {2: "1,train,emodb-01"},
            "repeat 0 does not test 1 of the 8 speakers that `corpora` and `emotions` select, such as emodb-01",
        ),
        (dict.fromkeys(range(6, 10)), "repeat 0 fold 1 has no rows with role train"),
        (dict.fromkeys(range(2, 6)), "repeat 0 fold 1 has no rows with role test"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(changes, message, table):
    with pytest.raises(InputError) as error:
        from_file(table, content(changes))
    assert str(error.value).startswith(FILE) and message in str(error.value)


def test_all_that_is_wrong_is_named_at_once_up_to_a_limit(table):
    with pytest.raises(InputError) as error:
        from_file(table, content({number: f"1,tset,nobody-{number}" for number in range(2, 18)}))
    first, *problems = str(error.value).splitlines()
    assert first == f"{FILE}:" and len(problems) == 21 and problems[-1] == "  and 12 more"


def test_a_file_that_is_missing(table):
    with pytest.raises(InputError, match=f"^{FILE} is missing; it has the columns fold, role .*, clip or speaker"):
        from_file(table, None)


@pytest.mark.parametrize("repeat", [0, 1])
def test_every_repeat_of_the_file_tests_every_clip(repeat, table):
    source = splits.make(table, split_config(repeats=2))
    row = source[(source["repeat"] == repeat) & (source["role"] == "test")].iloc[3]
    message = f"repeat {repeat} does not test 1 of the 48 clips that .* select, such as {row['clip']}$"
    with pytest.raises(InputError, match=message):
        from_file(table, as_file(source.drop(row.name), table, "clip"))


@pytest.mark.parametrize(
    ("moved", "to", "leaks"),
    [("test", "train", "test"), ("test", "validation", "test"), ("train", "validation", "valid")],
)
def test_a_file_that_puts_a_speaker_on_two_sides_is_refused(moved, to, leaks, table):
    source = splits.make(table, split_config(folds=4))
    clips = source[(source["fold"] == 0) & (source["role"] == moved)]
    source.loc[clips.index[0], "role"] = to
    if moved == "test":  # by another fold, so that every clip is tested
        extra = source[(source["clip"] == clips["clip"].iloc[0]) & (source["fold"] == 1)]
        source.loc[extra.index, "role"] = "test"
    with pytest.raises(InputError, match=rf"\(repeat 0 fold 0\) shares its speaker with a {leaks}.*`split.file`"):
        from_file(table, as_file(source, table, "clip"))


def test_a_file_that_separates_identical_files_is_refused(table):
    table.loc[table["speaker"] == "emodb-03", "sha256"] = table["sha256"][table["speaker"] == "emodb-01"].to_numpy()
    with pytest.raises(
        InputError, match=r"shares its sha256 with a test clip of the same fold; correct .*`split.file`"
    ):
        from_file(table, content({}))


def test_a_fold_that_leaves_nobody_for_validation_is_refused(table):
    with pytest.raises(InputError, match="split: repeat 0 fold 1 has too few speakers .* change `split.file`"):
        from_file(table, content({6: None, 8: None}))


@pytest.mark.parametrize("file", [None, "folds.csv", "experiments/folds.csv", "experiments/folds/../x.csv", "/x.csv"])
def test_given_folds_need_a_file_that_the_stage_depends_on(file):
    with pytest.raises(
        ValueError, match="`split.protocol: given` takes its folds from a CSV file in experiments/folds"
    ):
        split_config("given", file=file)


def test_a_file_that_no_protocol_reads_is_refused():
    with pytest.raises(ValueError, match="`split.protocol: loso` reads no file; set it to null"):
        split_config("loso", file=FILE)


def test_the_folds_of_emobox_test_four_of_the_24_actors_each_and_train_on_the_others(monkeypatch):
    monkeypatch.chdir(ROOT)
    settings = named.experiments()["emobox_ravdess"].changes
    actors = [f"ravdess-{number:02}" for number in range(1, 25)]
    table = catalogue([("ravdess", actor, "male", "a", emotion, 1) for actor in actors for emotion in EMOTIONS])
    split = splits.make(table, split_config(**settings["split"]))
    speakers = split.merge(table, on="clip").groupby(["fold", "role"])["speaker"].unique()
    assert [len(speakers[fold, "test"]) for fold in range(1, 7)] == [4] * 6
    assert sorted(np.concatenate([speakers[fold, "test"] for fold in range(1, 7)])) == actors
    assert set(speakers[1, "test"]) == {"ravdess-01", "ravdess-11", "ravdess-20", "ravdess-21"}
    for fold in range(1, 7):
        assert sorted(np.concatenate([speakers[fold, role] for role in splits.ROLES])) == actors


# Folds and files


def fold(train=("a", "b"), **change):
    return Fold(repeat=0, fold=3, train=list(train), validation=["c"], test=["d"], **change)


def test_the_digest_identifies_the_training_clips_and_their_order():
    assert fold().train_digest != fold(["b", "a"]).train_digest
    assert fold().train_digest != fold(["a"]).train_digest
    assert fold(["ab", "c"]).train_digest != fold(["a", "bc"]).train_digest
    fold().check_train_digest(fold().train_digest, "models/arms/baseline")


def test_what_was_made_from_other_training_clips_is_refused():
    other = fold(["a", "d"]).train_digest
    with pytest.raises(
        InputError,
        match=f"models/arms/baseline was not made from the training part of repeat 0 "
        f"fold 3 .*{other}.*would leak; run `dvc repro`",
    ):
        fold().check_train_digest(other, "models/arms/baseline")


def test_folds_are_read_in_catalogue_order(split, table, tmp_path):
    split.to_csv(tmp_path / "splits.csv", index=False)
    folds = splits.load(tmp_path / "splits.csv", table, "speaker")
    assert [fold.name for fold in folds] == ["0-0", "0-1"]
    for fold in folds:
        for role in splits.ROLES:
            clips = getattr(fold, role)
            assert clips == sorted(clips)
            assert clips == list(split["clip"][(split.fold == fold.fold) & (split.role == role)])


def test_a_file_that_leaks_is_refused(split, table, tmp_path):
    split.sample(frac=1, random_state=0).assign(role=np.array(split.role)).to_csv(tmp_path / "splits.csv", index=False)
    with pytest.raises(InputError, match=r"^split: clip "):
        splits.load(tmp_path / "splits.csv", table, "speaker")


@pytest.mark.parametrize("column", splits.COLUMNS)
def test_a_missing_column(split, table, tmp_path, column):
    path = tmp_path / "splits.csv"
    split.drop(columns=column).to_csv(path, index=False)
    with pytest.raises(InputError, match=f"^{path}: column {column} is missing; run `dvc repro split`"):
        splits.load(path, table, "speaker")


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b'a,b\n"1,2\n'], ids=["none", "0", "bytes", "quote"])
def test_an_unreadable_file(table, tmp_path, content):
    path = Path(tmp_path, "splits.csv")
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{path}: .*run `dvc repro split`"):
        splits.load(path, table, "speaker")
