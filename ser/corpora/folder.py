"""Your own recordings: the folder `recordings`, wav files and a table of them, recordings/clips.csv.

Its columns: `file`, its path inside the folder; `speaker`; `emotion`; and, where they are known, `sex`, `text` (what is
said; by default every clip counts as a sentence of its own) and `intensity`.
"""

import shutil
from functools import cache
from pathlib import Path, PurePosixPath

import pandas as pd

from ser.core.errors import InputError
from ser.data.manifest import EMOTIONS

TABLE = "clips.csv"
NEEDED = ("file", "speaker", "emotion")
OPTIONAL = {"sex": "unknown", "text": None, "intensity": "normal"}


def fetch(target: Path, source: Path) -> None:
    """Copy the table and the clips that it names from `source` into the folder `target`, where anna/1.wav becomes
    anna-1.wav.

    Raises InputError that names every line that is wrong, every file that is missing, and every wav file that the table
    does not name.
    """
    table = read(source)
    listed = {source / file for file in table["file"]}
    problems = [f"{path} is not there" for path in sorted(listed) if not path.is_file()]
    problems += [f"{path} is not in {TABLE}" for path in sorted(source.rglob("*.wav")) if path not in listed]
    if problems:
        raise InputError("\n  ".join([f"{source / TABLE} and the files beside it do not agree:", *problems]))
    names = _flat(table["file"])
    for file, name in zip(table["file"], names, strict=True):
        shutil.copy(source / file, target / name)
    table.assign(file=names).to_csv(target / TABLE, index=False)


def _flat(files):
    return files.str.replace("/", "-")


def parse(path: Path) -> dict[str, str]:
    """Speaker, sex, emotion, text and intensity of a clip, from the table in the folder of the corpus."""
    return _rows(path.parent)[path.name]


@cache
def _rows(place):
    return {
        row["file"]: {
            "speaker": f"folder-{row['speaker']}",
            "sex": row["sex"],
            "emotion": row["emotion"],
            "text": f"folder-{row['text'] or row['file']}",
            "intensity": row["intensity"],
        }
        for row in read(place).to_dict("records")
    }


def read(place: Path) -> pd.DataFrame:
    """The table in the folder `place`, one row a clip; raises InputError for columns, names and emotions that are
    missing, unknown, twice there, or not wav files inside the folder."""
    path = place / TABLE
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; it has a line a clip: {','.join(NEEDED)}") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV table in UTF-8 ({error})") from None
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first cells for names of the lines
        raise InputError(f"{path}: lines have more cells than the header; put cells that hold a comma into quotes")
    if missing := [column for column in NEEDED if column not in table]:
        raise InputError(f"{path}: column {missing[0]} is missing; it needs {', '.join(NEEDED)}")
    if unknown := sorted(set(table) - {*NEEDED, *OPTIONAL}):
        raise InputError(f"{path}: unknown column {unknown[0]}; known are {', '.join([*NEEDED, *OPTIONAL])}")
    problems = []
    for line, row in enumerate(table.itertuples(index=False), 2):
        parts = PurePosixPath(row.file).parts
        if ".." in parts or row.file.startswith("/") or not row.file.lower().endswith(".wav"):
            problems.append(f"line {line}: {row.file!r} is not a wav file inside the folder")
        if not row.speaker:
            problems.append(f"line {line}: no speaker")
        if row.emotion not in EMOTIONS:
            problems.append(f"line {line}: emotion {row.emotion!r}; known are {', '.join(EMOTIONS)}")
    problems += [f"{file} is there twice" for file in table["file"][_flat(table["file"]).duplicated()]]
    if problems:
        raise InputError("\n  ".join([f"{path}:", *problems]))
    for column, value in OPTIONAL.items():
        if column not in table:
            table[column] = value or ""
    return table
