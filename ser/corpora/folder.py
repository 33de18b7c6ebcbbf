"""Your own recordings: wav files in the folder `recordings`, described by recordings/clips.csv.

The columns of that table are:

- `file`: the path inside the folder;
- `speaker`;
- `emotion`;
- optionally `sex`, `intensity`, and `text`: what is said (by default every clip is a sentence of its own).
"""

import shutil
import sys
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from ser.core import files
from ser.core.errors import InputError
from ser.data.manifest import EMOTIONS, clean, look_alikes, read_table

TABLE = "clips.csv"
SUFFIX = ".wav"
REQUIRED = ("file", "speaker", "emotion")
OPTIONAL = {"sex": "unknown", "text": "", "intensity": "normal"}  # and their defaults


def fetch(target: Path, source: Path) -> None:
    """Copy the table and the clips that it lists from `source` to the folder `target`; anna/1.wav becomes anna-1.wav.

    Raises one InputError that names every wrong line, every missing file, and every wav file that is not listed. Files
    of other kinds are counted on stderr.
    """
    table = read(source)
    found = list(files.walk(source))
    clips = [path for path in found if path.suffix.lower() == SUFFIX]
    others = [path for path in found if path not in clips and path != source / TABLE]
    for notice in files.skipped(source, others, [SUFFIX]):
        print(f"notice: {notice}", file=sys.stderr)
    path_of = {clean(path.relative_to(source).as_posix()): path for path in clips}
    problems = [f"{source / name} does not exist" for name in sorted(set(table["file"]) - set(path_of))]
    problems += [f"{path} is not in {TABLE}" for name, path in path_of.items() if name not in set(table["file"])]
    problems += look_alikes([path.as_posix() for path in clips], "the files")
    if problems:
        raise InputError("\n  ".join([f"{source / TABLE} and the files next to it do not agree:", *problems]))
    names = _flat(table["file"])
    for file, name in zip(table["file"], names, strict=True):
        shutil.copy(path_of[file], target / name)
    table.assign(file=names).to_csv(target / TABLE, index=False)


def _flat(names: pd.Series) -> pd.Series:
    return names.str.replace("/", "-")


def parse(path: Path) -> dict[str, str]:
    """Speaker, sex, emotion, text and intensity of a clip, from the table in the folder of the corpus."""
    try:
        return _rows(path.parent)[clean(path.name)]
    except KeyError:
        raise InputError(f"{path}: not in {path.parent / TABLE}; run `dvc repro collect`") from None


@cache
def _rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        row["file"]: {
            "speaker": f"folder-{row['speaker']}",
            "sex": row["sex"],
            "emotion": row["emotion"],
            "text": f"folder-{row['text'] or row['file']}",
            "intensity": row["intensity"],
        }
        for row in read(folder).to_dict("records")
    }


def read(folder: Path) -> pd.DataFrame:
    """The table in a folder, one row per clip, indexed by its line in the file.

    Raises InputError for columns that are missing or unknown, for files that are listed twice or are not wav files
    inside the folder, for clips without a speaker or a known emotion, and for names that look alike.
    """
    path = folder / TABLE
    if not path.is_file():
        raise InputError(f"{path} is missing; it has one line per clip: {','.join(REQUIRED)}")
    table = read_table(path, REQUIRED)
    if unknown := sorted(set(table) - {*REQUIRED, *OPTIONAL}):
        raise InputError(f"{path}: unknown column {unknown[0]!r}; known are {', '.join([*REQUIRED, *OPTIONAL])}")
    for column, default in OPTIONAL.items():
        if column not in table:
            table[column] = default
    problems = []
    for row in table.itertuples():
        parts = PurePosixPath(row.file).parts
        if ".." in parts or row.file.startswith("/") or not row.file.lower().endswith(SUFFIX):
            problems.append(f"line {row.Index}: {row.file!r} is not a wav file inside the folder")
        if not row.speaker:
            problems.append(f"line {row.Index}: no speaker")
        if row.emotion not in EMOTIONS:
            problems.append(f"line {row.Index}: emotion {row.emotion!r}; known are {', '.join(EMOTIONS)}")
    names = _flat(table["file"])
    problems += [f"line {line}: {file} is listed twice" for line, file in table["file"][names.duplicated()].items()]
    problems += look_alikes(names, "file")
    for column in ("speaker", "sex", "text", "intensity"):
        problems += look_alikes(table[column], column)
    if problems:
        raise InputError("\n  ".join([f"{path}:", *problems]))
    return table
