"""Your own recordings: wav files in the folder `recordings`, described by recordings/clips.csv.

The columns of that table are:

- `file`: the path inside the folder;
- `speaker`;
- `emotion`;
- optionally `sex`, `intensity`, and `text`: what is said (by default every clip is a sentence of its own).
"""

import shutil
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from ser.core.errors import InputError
from ser.data.manifest import EMOTIONS

TABLE = "clips.csv"
REQUIRED = ("file", "speaker", "emotion")
OPTIONAL = {"sex": "unknown", "text": "", "intensity": "normal"}  # and their defaults


def fetch(target: Path, source: Path) -> None:
    """Copy the table and the clips that it lists from `source` to the folder `target`; anna/1.wav becomes anna-1.wav.

    Raises one InputError that names every wrong line, every missing file, and every wav file that is not listed.
    """
    table = read(source)
    listed = {source / file for file in table["file"]}
    problems = [f"{path} does not exist" for path in sorted(listed) if not path.is_file()]
    problems += [f"{path} is not in {TABLE}" for path in sorted(source.rglob("*.wav")) if path not in listed]
    if problems:
        raise InputError("\n  ".join([f"{source / TABLE} and the files next to it do not agree:", *problems]))
    names = _flat(table["file"])
    for file, name in zip(table["file"], names, strict=True):
        shutil.copy(source / file, target / name)
    table.assign(file=names).to_csv(target / TABLE, index=False)


def _flat(files: pd.Series) -> pd.Series:
    return files.str.replace("/", "-")


def parse(path: Path) -> dict[str, str]:
    """Speaker, sex, emotion, text and intensity of a clip, from the table in the folder of the corpus."""
    return _rows(path.parent)[path.name]


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
    """The table in a folder, one row per clip.

    Raises InputError for columns that are missing or unknown, for files that are listed twice or are not wav files
    inside the folder, and for clips without a speaker or a known emotion.
    """
    path = folder / TABLE
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; it has one line per clip: {','.join(REQUIRED)}") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV table in UTF-8 ({error})") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first cells for names of the lines
        raise InputError(f"{path}: lines have more cells than the header; quote cells that contain a comma")
    if missing := [column for column in REQUIRED if column not in table]:
        raise InputError(f"{path}: column {missing[0]} is missing; required are {', '.join(REQUIRED)}")
    if unknown := sorted(set(table) - {*REQUIRED, *OPTIONAL}):
        raise InputError(f"{path}: unknown column {unknown[0]}; known are {', '.join([*REQUIRED, *OPTIONAL])}")
    problems = []
    for line, row in enumerate(table.itertuples(index=False), 2):
        parts = PurePosixPath(row.file).parts
        if ".." in parts or row.file.startswith("/") or not row.file.lower().endswith(".wav"):
            problems.append(f"line {line}: {row.file!r} is not a wav file inside the folder")
        if not row.speaker:
            problems.append(f"line {line}: no speaker")
        if row.emotion not in EMOTIONS:
            problems.append(f"line {line}: emotion {row.emotion!r}; known are {', '.join(EMOTIONS)}")
    problems += [f"{file} is listed twice" for file in table["file"][_flat(table["file"]).duplicated()]]
    if problems:
        raise InputError("\n  ".join([f"{path}:", *problems]))
    for column, default in OPTIONAL.items():
        if column not in table:
            table[column] = default
    return table
