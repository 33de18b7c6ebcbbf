"""Train, validation and test folds, and the leakage checks.

A split is a table `repeat,fold,clip,role` with role train, validation or test; each clip is tested once per repeat.
Protocols:

- speaker: test speakers are unseen in training; folds are balanced by corpus and sex (the headline);
- loso: as speaker, one speaker per fold;
- cross_corpus: trained on all corpora but one and tested on that one; one corpus per fold;
- text: test sentences are unseen in training, test speakers are not;
- speaker_text: neither the test speakers nor the test sentences are trained on; clips that share one of the two with
  the test part have no role in that fold;
- random: stratified by emotion without regard to speakers, as in most published code. It leaks: the same voices are in
  training and test;
- given: as in a file, for folds that were published (`read_given`). Test speakers must be unseen in training.

Validation clips are held out of the training part where `split.validation` is above 0: whole speakers of each corpus,
or single clips under `random`. Under `given` they are those that the file names for the fold, if it names any. Files
with identical bytes stay on one side under every protocol. With `split.training` below 1, the rest of the training part
has no role in that fold; validation and test stay the same.
"""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field, ValidationInfo, field_validator

from ser.core.errors import InputError
from ser.core.fold import Fold
from ser.core.params import Config
from ser.data import manifest

ROLES = ("train", "validation", "test")
COLUMNS = ["repeat", "fold", "clip", "role"]
GIVEN = "experiments/folds"  # the folder of the files for `given`, on which stage split depends
_SHOWN = 20  # problems of such a file, in one message


class SplitConfig(Config):
    protocol: Literal["speaker", "loso", "text", "speaker_text", "cross_corpus", "random", "given"]
    file: str | None = Field(default=None, validate_default=True)
    folds: int = Field(ge=2)
    repeats: int = Field(ge=1)
    validation: float = Field(ge=0, lt=1)
    training: float = Field(gt=0, le=1)
    seed: int = Field(ge=0)

    @field_validator("file")
    @classmethod
    def _fits_the_protocol(cls, file: str | None, info: ValidationInfo) -> str | None:
        protocol = info.data.get("protocol")  # none if it is invalid
        if protocol == "given" and (file is None or PurePosixPath(file).parent != PurePosixPath(GIVEN)):
            raise ValueError(f"`split.protocol: given` takes its folds from a CSV file in {GIVEN}")
        if protocol not in (None, "given") and file is not None:
            raise ValueError(f"`split.protocol: {protocol}` reads no file; set it to null")
        return file


class _Parts(NamedTuple):
    """A fold: its number, and which rows of the catalogue have a part in it."""

    fold: int
    test: np.ndarray  # [clips], bool
    candidates: np.ndarray  # [clips], bool: for training and validation
    validation: pd.Series | None = None  # clips; None: to be held out of the candidates


def make(catalogue: pd.DataFrame, config: SplitConfig) -> pd.DataFrame:
    """The split of the clips of a catalogue, as a table with COLUMNS.

    Raises InputError where the catalogue does not suffice for `config`, and for what is wrong in `config.file`.
    """
    catalogue = catalogue.sort_values("clip", ignore_index=True)
    given = read_given(Path(config.file), catalogue) if config.file else None
    tables = []
    for repeat in range(config.repeats) if given is None else sorted(given["repeat"].unique()):
        rng = np.random.default_rng([config.seed, repeat])
        if given is None:
            folds = _PROTOCOLS[config.protocol](catalogue, config, rng)
        else:
            folds = _given(catalogue, given[given["repeat"] == repeat])
        for fold, test, candidates, named in folds:
            validation = _hold_out(catalogue[candidates], config, rng) if named is None else named
            if config.validation and validation.empty:
                raise InputError(
                    f"split: repeat {repeat} fold {fold} has too few speakers to hold any out for validation; set "
                    f"`split.validation` to 0 or change `{'split.file' if config.file else 'split.folds'}`"
                )
            training = catalogue[candidates & ~catalogue["clip"].isin(validation)]
            train = _subsample(training, config.training, rng.spawn(1)[0])
            sides = [test, *(catalogue["clip"].isin(clips) for clips in (validation, train))]
            role = np.select(sides, ["test", "validation", "train"], default="")
            table = pd.DataFrame({"repeat": repeat, "fold": fold, "clip": catalogue["clip"], "role": role})
            tables.append(table[role != ""])
    split = pd.concat(tables, ignore_index=True)
    check(split, catalogue, config.protocol)
    return split


_Protocol = Callable[[pd.DataFrame, SplitConfig, np.random.Generator], Iterator[_Parts]]  # the folds of one repeat


def _by(column: str | None) -> _Protocol:
    def protocol(catalogue: pd.DataFrame, config: SplitConfig, rng: np.random.Generator) -> Iterator[_Parts]:
        part = _deal(catalogue, column, config.folds, rng)
        for fold in range(config.folds):
            yield _Parts(fold, (part == fold).to_numpy(), (part != fold).to_numpy())

    return protocol


def _leave_one_out(column: str) -> _Protocol:
    def protocol(catalogue: pd.DataFrame, config: SplitConfig, rng: np.random.Generator) -> Iterator[_Parts]:
        group = _group(catalogue, column)
        if len(group.unique()) < 2:
            raise InputError(
                f"params.yaml: `split.protocol: {config.protocol}` leaves one {column} out, but there is only "
                f"{group.iloc[0]}; select more under `corpora` or choose another protocol"
            )
        for fold, left_out in enumerate(group.unique()):
            test = (group == left_out).to_numpy()
            yield _Parts(fold, test, ~test)

    return protocol


def _speaker_and_text(catalogue: pd.DataFrame, config: SplitConfig, rng: np.random.Generator) -> Iterator[_Parts]:
    texts = min(2, catalogue.groupby("corpus").text.nunique().min())
    speaker = _deal(catalogue, "speaker", config.folds, rng).to_numpy()
    text = _deal(catalogue, "text", texts, rng).to_numpy()
    for fold in range(config.folds * texts):
        same_speaker, same_text = speaker == fold // texts, text == fold % texts
        yield _Parts(fold, same_speaker & same_text, ~same_speaker & ~same_text)


def _given(catalogue: pd.DataFrame, given: pd.DataFrame) -> Iterator[_Parts]:
    """The folds of one repeat of a table from `read_given`."""
    column = "speaker" if "speaker" in given else "clip"
    for fold, rows in given.groupby("fold"):
        role = catalogue[column].map(dict(zip(rows[column], rows["role"], strict=True)))
        validation = catalogue["clip"][role == "validation"]
        yield _Parts(
            fold,
            (role == "test").to_numpy(),
            role.isin(["train", "validation"]).to_numpy(),
            validation if len(validation) else None,
        )


# Columns of the catalogue whose values training and test clips never share.
_APART: dict[str, list[str]] = {
    "speaker": ["speaker"],
    "loso": ["speaker"],
    "text": ["text"],
    "speaker_text": ["speaker", "text"],
    "cross_corpus": ["corpus"],
    "random": [],
    "given": ["speaker"],
}

_NAMES = sorted({column for columns in _APART.values() for column in columns})

_PROTOCOLS: dict[str, _Protocol] = {
    "speaker": _by("speaker"),
    "loso": _leave_one_out("speaker"),
    "text": _by("text"),
    "speaker_text": _speaker_and_text,
    "cross_corpus": _leave_one_out("corpus"),
    "random": _by(None),
}


def _deal(catalogue: pd.DataFrame, column: str | None, folds: int, rng: np.random.Generator) -> pd.Series:
    """Deal whole groups of clips to `folds` parts, like cards, and return the part of each clip.

    The groups share a value of `column` (speaker or text; None: single clips). They are sorted by what must be balanced
    (corpus and sex, or corpus and emotion) and shuffled within.
    """
    group = _group(catalogue, column)
    strata = {"speaker": ["corpus", "sex"], "text": ["corpus"], None: ["corpus", "emotion"]}[column]
    cards = catalogue.assign(group=group, order=group.map(_random_order(group, rng))).drop_duplicates("group")
    cards = cards.sort_values([*strata, "order"])
    if len(cards) < folds:
        raise InputError(f"params.yaml: `split.folds` is {folds}, but there are only {len(cards)} {column or 'clip'}s")
    return group.map(dict(zip(cards["group"], np.arange(len(cards)) % folds, strict=True)))


def _hold_out(candidates: pd.DataFrame, config: SplitConfig, rng: np.random.Generator) -> pd.Series:
    """The validation clips: about `config.validation` of the speakers of each corpus, at least one and never all.

    There are none where `config.validation` is 0.
    """
    if not config.validation:
        return candidates["clip"].iloc[:0]
    group = _group(candidates, None if config.protocol == "random" else "speaker")
    held_out: list[str] = []
    for _, corpus in candidates.assign(group=group, order=group.map(_random_order(group, rng))).groupby("corpus"):
        groups = corpus.drop_duplicates("group").sort_values("order")["group"]
        held_out.extend(groups[: min(len(groups) - 1, max(1, round(config.validation * len(groups))))])
    return candidates["clip"][group.isin(held_out)]


def _subsample(training: pd.DataFrame, share: float, rng: np.random.Generator) -> list[str]:
    """About `share` of the clips of each emotion, at least one; a smaller share is part of a larger one."""
    subset: list[str] = []
    for _, clips in training.assign(order=rng.permutation(len(training))).groupby("emotion"):
        subset.extend(clips.sort_values("order")["clip"][: max(1, round(share * len(clips)))])
    return subset


def _group(catalogue: pd.DataFrame, column: str | None) -> pd.Series:
    """The group of each clip, which is never divided: a value of `column`, or the clip itself for None.

    Groups that contain the same file, byte for byte, count as one.
    """
    group = catalogue[column or "clip"]
    while True:
        shared = group.groupby(catalogue["sha256"]).transform("min")
        joined = shared.groupby(group).transform("min")
        if joined.equals(group):
            return group
        group = joined


def _random_order(group: pd.Series, rng: np.random.Generator) -> dict[str, int]:
    names = sorted(group.unique())
    return dict(zip(names, rng.permutation(len(names)), strict=True))


def read_given(path: Path, catalogue: pd.DataFrame) -> pd.DataFrame:
    """The folds in a file, as a table `repeat,fold,role` and `clip` or `speaker`, indexed by line.

    A row gives a clip, or all clips of a speaker, a role in a fold. Without the column `repeat` there is one repeat, 0.
    A clip without a row for a fold has no part in that fold.

    Raises InputError for what is not such a table. One InputError names every line with a wrong number or role, with a
    clip or speaker that is not in the catalogue, has a role in that fold already or is tested by another fold; and
    every fold without training or test rows, and clips or speakers of the catalogue that are never tested.
    """
    if not path.is_file():
        raise InputError(
            f"{path} is missing; it has the columns fold, role (one of {', '.join(ROLES)}), clip or speaker"
        )
    table = manifest.read_table(path, ["fold", "role"])
    columns = [column for column in ("clip", "speaker") if column in table]
    if len(columns) != 1:
        raise InputError(
            f"{path}: expected a column `clip` or a column `speaker`, found {'both' if columns else 'neither'}"
        )
    (column,) = columns
    if unknown := sorted(set(table) - {"repeat", "fold", "role", column}):
        raise InputError(f"{path}: unknown column {unknown[0]!r}; known are repeat, fold, role, {column}")
    if table.empty:
        raise InputError(f"{path}: it has no rows")
    if "repeat" not in table:
        table["repeat"] = "0"
    names = set(catalogue[column])
    problems = _wrong_cells(table, column, names)
    if not problems:
        table = table.astype({"repeat": int, "fold": int})
        problems = _wrong_folds(table, column, names)
    if len(problems) > _SHOWN:
        problems[_SHOWN:] = [f"and {len(problems) - _SHOWN} more"]
    if problems:
        raise InputError("\n  ".join([f"{path}:", *problems]))
    return table


def _wrong_cells(table: pd.DataFrame, column: str, names: set[str]) -> list[str]:
    wrong = [
        *((key, ~table[key].str.fullmatch("[0-9]{1,4}"), "a number from 0 to 9999") for key in ("repeat", "fold")),
        ("role", ~table["role"].isin(ROLES), f"one of {', '.join(ROLES)}"),
        (column, ~table[column].isin(names), f"one that `corpora` and `emotions` select, such as {min(names)}"),
    ]
    cells = [(line, key, value, expected) for key, bad, expected in wrong for line, value in table[key][bad].items()]
    return [
        f"line {line}, column {key}: {value!r}; expected {expected}" for line, key, value, expected in sorted(cells)
    ]


def _wrong_folds(table: pd.DataFrame, column: str, names: set[str]) -> list[str]:
    repeated = table.duplicated(["repeat", "fold", column])
    problems = [
        f"line {row.Index}: {row.name!r} has a role in repeat {row.repeat} fold {row.fold} already"
        for row in table[repeated].rename(columns={column: "name"}).itertuples()
    ]
    table = table[~repeated]
    for (repeat, fold), roles in table.groupby(["repeat", "fold"])["role"]:
        problems += [
            f"repeat {repeat} fold {fold} has no rows with role {role}"
            for role in ("train", "test")
            if role not in set(roles)
        ]
    for repeat, rows in table.groupby("repeat"):
        tested = rows[rows["role"] == "test"]
        first = tested.drop_duplicates(column).set_index(column)["fold"]
        problems += [
            f"line {line}: {name!r} is tested by repeat {repeat} fold {first[name]} already"
            for line, name in tested[column][tested.duplicated(column)].items()
        ]
        if untested := sorted(names - set(tested[column])):
            problems.append(
                f"repeat {repeat} does not test {len(untested)} of the {len(names)} {column}s that `corpora` and "
                f"`emotions` select, such as {untested[0]}"
            )
    return problems


def load(path: Path | str, catalogue: pd.DataFrame, protocol: str) -> list[Fold]:
    """The folds in data/splits.csv, after a check against the catalogue (see `check`)."""
    try:
        split = pd.read_csv(path, dtype={"clip": str, "role": str})
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable table ({error}); run `dvc repro split`") from None
    if missing := [column for column in COLUMNS if column not in split]:
        raise InputError(f"{path}: column {missing[0]} is missing; run `dvc repro split`")
    check(split, catalogue, protocol)
    return [
        Fold(repeat, fold, *(list(rows["clip"][rows.role == role]) for role in ROLES))
        for (repeat, fold), rows in split.groupby(["repeat", "fold"])
    ]


def check(split: pd.DataFrame, catalogue: pd.DataFrame, protocol: str) -> None:
    """Refuse a split that leaks or does not suffice.

    Raises InputError for

    - a clip that is unknown, has two roles in one fold, or is not tested exactly once per repeat;
    - no training or test clips in a fold, or an emotion without training clips;
    - identical files on two sides;
    - speakers, sentences or corpora on two sides where the protocol keeps them apart, names that differ only by case or
      invisible characters being the same.
    """
    key, remedy = "split.folds", "run `dvc repro split`"
    if protocol == "given":
        key, remedy = "split.file", "correct the table in `split.file`, then run `dvc repro split`"

    def refuse(rows: pd.DataFrame, why: str) -> None:
        if len(rows):
            row = rows.iloc[0]
            where = f"repeat {row['repeat']} fold {row['fold']}"
            raise InputError(f"split: clip {row['clip']} ({where}) {why}; {remedy}")

    catalogue = catalogue.assign(**{column: catalogue[column].map(manifest.identity) for column in _NAMES})
    table = split.merge(catalogue[["clip", "corpus", "speaker", "text", "emotion", "sha256"]], on="clip", how="left")
    refuse(table[table.sha256.isna() | ~table.role.isin(ROLES)], "is not in the catalogue or has an unknown role")
    refuse(table[table.duplicated(["repeat", "fold", "clip"])], "has two roles in one fold")
    tested = table[table.role == "test"]
    refuse(tested[tested.duplicated(["repeat", "clip"])], "is tested twice in one repeat")
    for repeat, rows in table.groupby("repeat"):
        refuse(rows[~rows["clip"].isin(tested["clip"][tested.repeat == repeat])], "is never tested")
    fold_of = [table["repeat"], table["fold"]]
    emotions = sorted(table["emotion"].unique())
    trained = pd.crosstab(fold_of, table["emotion"].where(table["role"] == "train", ""))
    for (repeat, fold), roles in pd.crosstab(fold_of, table["role"]).iterrows():
        if empty := [role for role in ("train", "test") if not roles.get(role, 0)]:
            raise InputError(f"split: repeat {repeat} fold {fold} has no {empty[0]} clips; change `{key}`")
        if missing := [name for name in emotions if not trained.loc[(repeat, fold)].get(name, 0)]:
            raise InputError(
                f"split: repeat {repeat} fold {fold} trains on no clip of {', '.join(missing)}; drop it from "
                f"`emotions`, lower `split.validation` or change `{key}` or `split.protocol`"
            )
    validation_apart = [] if protocol == "random" else ["speaker"]
    held_apart = [("test", column) for column in ["sha256", *_APART[protocol]]]
    held_apart += [("validation", column) for column in ["sha256", *validation_apart]]
    for held_out, column in held_apart:
        values = table[table["role"] == held_out][["repeat", "fold", column]].drop_duplicates()
        others = ["train"] if held_out == "validation" else ["train", "validation"]
        crossing = table[table["role"].isin(others)].merge(values)
        refuse(crossing, f"shares its {column} with a {held_out} clip of the same fold")
