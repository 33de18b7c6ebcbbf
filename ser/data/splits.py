"""Who is trained on, who chooses the epoch, who is tested: the folds, and the checks that nothing leaks.

A split is a table `repeat,fold,clip,role` with role train, validation or test; each clip is test once a repeat.
Protocols:

- speaker: test speakers are never trained on; folds are balanced by corpus and sex (the headline);
- loso: as speaker, one speaker a fold;
- cross_corpus: trained on all corpora but one, tested on that one; one corpus a fold;
- text: test sentences are never trained on, test speakers are;
- speaker_text: neither the test speakers nor the test sentences are trained on; clips that share one of the two
  with the test part have no role in that fold;
- random: stratified by emotion without regard to speakers, as in most published code. It leaks: the same voices
  are trained on and tested.

Validation clips are held out of the training part: whole speakers of each corpus, in random single clips. Files with
identical bytes stay on one side under every protocol. Where only a share of the training part is trained on, the rest
has no role in that fold; validation and test are the same whatever the share.
"""

from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from ser.core.errors import InputError
from ser.core.fold import Fold
from ser.core.params import Config

ROLES = ("train", "validation", "test")
COLUMNS = ["repeat", "fold", "clip", "role"]


class SplitConfig(Config):
    protocol: Literal["speaker", "loso", "text", "speaker_text", "cross_corpus", "random"]
    folds: int = Field(ge=2)
    repeats: int = Field(ge=1)
    validation: float = Field(gt=0, lt=1)
    training: float = Field(gt=0, le=1)
    seed: int = Field(ge=0)


def make(catalogue, settings):
    """Return the split of the catalogue's clips as a table (see the module's docstring)."""
    catalogue = catalogue.sort_values("clip", ignore_index=True)
    rows = []
    for repeat in range(settings.repeats):
        rng = np.random.default_rng([settings.seed, repeat])
        for fold, test, candidates in _PROTOCOLS[settings.protocol](catalogue, settings, rng):
            validation = _hold_out(catalogue[candidates], settings, rng)
            training = catalogue[candidates & ~catalogue["clip"].isin(validation)]
            kept = _keep(training, settings.training, rng.spawn(1)[0])
            sides = [test, *(catalogue["clip"].isin(clips) for clips in (validation, kept))]
            role = np.select(sides, ["test", "validation", "train"], default="")
            table = pd.DataFrame({"repeat": repeat, "fold": fold, "clip": catalogue["clip"], "role": role})
            rows.append(table[role != ""])
    split = pd.concat(rows, ignore_index=True)
    check(split, catalogue, settings.protocol)
    return split


def _by(group):
    def protocol(catalogue, settings, rng):
        part = _deal(catalogue, group, settings.folds, rng)
        for fold in range(settings.folds):
            yield fold, (part == fold).to_numpy(), (part != fold).to_numpy()

    return protocol


def _leave_one_out(group):
    def protocol(catalogue, settings, rng):
        key = _key(catalogue, group)
        if len(key.unique()) < 2:
            raise InputError(
                f"params.yaml: `split.protocol: {settings.protocol}` leaves one {group} out, but there is only "
                f"{key.iloc[0]}; select more under `corpora` or take another protocol"
            )
        for fold, left_out in enumerate(key.unique()):
            test = (key == left_out).to_numpy()
            yield fold, test, ~test

    return protocol


def _speaker_and_text(catalogue, settings, rng):
    texts = min(2, catalogue.groupby("corpus").text.nunique().min())
    speaker = _deal(catalogue, "speaker", settings.folds, rng).to_numpy()
    text = _deal(catalogue, "text", texts, rng).to_numpy()
    for fold in range(settings.folds * texts):
        same_speaker, same_text = speaker == fold // texts, text == fold % texts
        yield fold, same_speaker & same_text, ~same_speaker & ~same_text


_APART = {
    "speaker": ["speaker"],
    "loso": ["speaker"],
    "text": ["text"],
    "speaker_text": ["speaker", "text"],
    "cross_corpus": ["corpus"],
    "random": [],
}

_PROTOCOLS = {
    "speaker": _by("speaker"),
    "loso": _leave_one_out("speaker"),
    "text": _by("text"),
    "speaker_text": _speaker_and_text,
    "cross_corpus": _leave_one_out("corpus"),
    "random": _by(None),
}


def _deal(catalogue, group, folds, rng):
    """Deal whole groups (speakers, sentences; single clips for None) to `folds` parts, like cards, and return each
    clip's part. Cards are sorted by what must be balanced (corpus and sex, or corpus and emotion), shuffled within."""
    key = _key(catalogue, group)
    strata = {"speaker": ["corpus", "sex"], "text": ["corpus"], None: ["corpus", "emotion"]}[group]
    cards = catalogue.assign(key=key, order=key.map(_shuffled(key, rng))).drop_duplicates("key")
    cards = cards.sort_values([*strata, "order"])
    if len(cards) < folds:
        raise InputError(f"params.yaml: `split.folds` is {folds}, but there are only {len(cards)} {group or 'clip'}s")
    return key.map(dict(zip(cards.key, np.arange(len(cards)) % folds, strict=True)))


def _hold_out(candidates, settings, rng):
    """The clips of the training part that choose the epoch: about `settings.validation` of the speakers of each corpus,
    at least one and never all."""
    group = None if settings.protocol == "random" else "speaker"
    key = _key(candidates, group)
    held_out = []
    for _, corpus in candidates.assign(key=key, order=key.map(_shuffled(key, rng))).groupby("corpus"):
        groups = corpus.drop_duplicates("key").sort_values("order").key
        held_out.extend(groups[: min(len(groups) - 1, max(1, round(settings.validation * len(groups))))])
    return candidates["clip"][key.isin(held_out)]


def _keep(training, share, rng):
    """The clips of the training part that are trained on: about `share` of those of each emotion, at least one. A
    smaller share is part of a larger one."""
    kept = []
    for _, clips in training.assign(order=rng.permutation(len(training))).groupby("emotion"):
        kept.extend(clips.sort_values("order")["clip"][: max(1, round(share * len(clips)))])
    return kept


def _key(catalogue, group):
    """What a clip is dealt by; groups that share a file, byte for byte, count as one."""
    key = catalogue[group or "clip"]
    while True:
        shared = key.groupby(catalogue["sha256"]).transform("min")
        joined = shared.groupby(key).transform("min")
        if joined.equals(key):
            return key
        key = joined


def _shuffled(key, rng):
    names = sorted(key.unique())
    return dict(zip(names, rng.permutation(len(names)), strict=True))


def load(path, catalogue, protocol):
    """Read data/splits.csv, check it against the catalogue and return its folds as a list of Fold."""
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


def check(split, catalogue, protocol):
    """Refuse a split that leaks: raises InputError for a clip that is unknown, in two roles of a fold or not test
    exactly once a repeat, for identical files on two sides, for an empty role or an emotion that is not trained on, and
    for speakers, sentences or corpora on two sides where the protocol keeps them apart."""
    table = split.merge(catalogue[["clip", "corpus", "speaker", "text", "emotion", "sha256"]], on="clip", how="left")
    _refuse(table[table.sha256.isna() | ~table.role.isin(ROLES)], "is not in the catalogue or has an unknown role")
    _refuse(table[table.duplicated(["repeat", "fold", "clip"])], "has two roles in one fold")
    tested = table[table.role == "test"]
    _refuse(tested[tested.duplicated(["repeat", "clip"])], "is tested twice in one repeat")
    for repeat, rows in table.groupby("repeat"):
        _refuse(rows[~rows["clip"].isin(tested["clip"][tested.repeat == repeat])], "is never tested")
    for (repeat, fold), rows in table.groupby(["repeat", "fold"]):
        if empty := [role for role in ROLES if not (rows.role == role).any()]:
            raise InputError(f"split: repeat {repeat} fold {fold} has no {empty[0]} clips; change `split.folds`")
        if missing := sorted(set(table["emotion"]) - set(rows["emotion"][rows["role"] == "train"])):
            raise InputError(
                f"split: repeat {repeat} fold {fold} trains on no clip of {', '.join(missing)}; drop it from "
                "`emotions`, lower `split.validation` or change `split.folds` or `split.protocol`"
            )
        choosing = [] if protocol == "random" else ["speaker"]
        held_apart = [("test", column) for column in ["sha256", *_APART[protocol]]]
        held_apart += [("validation", column) for column in ["sha256", *choosing]]
        for kept_out, column in held_apart:
            values = set(rows[column][rows["role"] == kept_out])
            others = ["train"] if kept_out == "validation" else ["train", "validation"]
            crossing = rows[rows["role"].isin(others) & rows[column].isin(values)]
            _refuse(crossing, f"shares its {column} with a {kept_out} clip of the same fold")


def _refuse(rows, why):
    if len(rows):
        row = rows.iloc[0]
        where = f"repeat {row['repeat']} fold {row['fold']}"
        raise InputError(f"split: clip {row['clip']} ({where}) {why}; run `dvc repro split`")
