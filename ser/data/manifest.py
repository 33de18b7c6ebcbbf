"""The catalogue data/catalogue.csv, one row per clip: its columns, the known emotions, and how it is checked.

Also how tables that people write are read, and when two names mean the same.
"""

import csv
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from ser.core.errors import InputError

Emotion = Literal["anger", "boredom", "calm", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"]
EMOTIONS: tuple[str, ...] = get_args(Emotion)
COLUMNS = (
    "clip",
    "corpus",
    "path",
    "speaker",
    "sex",
    "emotion",
    "text",
    "intensity",
    "seconds",
    "sample_rate",
    "sha256",
)
IDENTIFIERS = ("clip", "corpus", "speaker", "sex", "text", "intensity")  # columns whose names are compared


def duplicates(catalogue: pd.DataFrame) -> list[list[str]]:
    """Groups of clips whose files are identical, byte for byte."""
    return [list(clips) for _, clips in catalogue.groupby("sha256", sort=False)["clip"] if len(clips) > 1]


def clean(name: str) -> str:
    """A name as it is kept: without space around it, its letters composed (NFC), as macOS may not write them."""
    return unicodedata.normalize("NFC", name).strip()


def identity(name: str) -> str:
    """What two names have in common that people take for the same: no case, no invisible characters."""
    spaced = " ".join(clean(name).casefold().split())
    return unicodedata.normalize("NFC", "".join(c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf")))


def look_alikes(names: Iterable[str], what: str) -> list[str]:
    """A sentence for each group of different `names` with one identity, which quotes all of them."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(identity(name), []).append(name)
    alike = [group for group in groups.values() if len(group) > 1]
    return [f"{what} {_quoted(group)} differ by no more than case or invisible characters" for group in alike]


def _quoted(names: list[str]) -> str:
    quote = repr if len({*map(clean, names)}) == len(names) else ascii  # which tells composed letters from others
    return " and ".join(map(quote, names))


def read_table(path: Path, required: Sequence[str]) -> pd.DataFrame:
    """A CSV table as text, its cells cleaned; the index is the line of the file on which a row starts.

    Rows without content are left out, and cells that a row lacks are empty. Raises InputError for what is not CSV with
    commas in UTF-8, for a column that is missing or occurs twice, and for rows longer than the header.
    """
    lines: list[int] = []
    rows: list[list[str]] = []
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            for cells in reader:
                row = [clean(cell) for cell in cells]
                if any(row):
                    lines.append(line)
                    rows.append(row)
                line = reader.line_num + 1
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV table in UTF-8 (line {line}: {error})") from None
    if not rows:
        raise InputError(f"{path}: not a CSV table in UTF-8 (it is empty)")
    header, *rows = rows
    if missing := [column for column in required if column not in header]:
        for separator, name in {";": "semicolons", "\t": "tabs"}.items():
            if any(separator in cell for cell in header):
                raise InputError(f"{path}: its cells are separated by {name}; expected are commas")
        raise InputError(f"{path}: column {', '.join(missing)} is missing; expected are {', '.join(required)}")
    if repeated := [column for column in header if header.count(column) > 1]:
        raise InputError(f"{path}: column {repeated[0]!r} occurs twice")
    if long := [line for line, row in zip(lines[1:], rows, strict=True) if len(row) > len(header)]:
        raise InputError(f"{path}, line {long[0]}: more cells than the header has; quote cells that contain a comma")
    filled = [row + [""] * (len(header) - len(row)) for row in rows]
    return pd.DataFrame(filled, index=lines[1:], columns=header, dtype=str)


def load(path: Path | str) -> pd.DataFrame:
    """Read and check a catalogue; raises InputError that names the file, the column and the line."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; run `dvc repro catalogue` to make it")
    try:
        table = read_table(path, COLUMNS)
    except InputError as error:
        raise InputError(f"{error}; run `dvc repro catalogue`") from None

    def reject(column: str, bad: pd.Series, expected: str) -> None:
        if bad.any():
            line = bad.idxmax()
            raise InputError(f"{path}, line {line}, column {column}: {table[column][line]!r}; expected {expected}")

    reject("clip", table["clip"].duplicated(), "each clip once")
    reject("emotion", ~table["emotion"].isin(EMOTIONS), f"one of {', '.join(EMOTIONS)}")
    for column in IDENTIFIERS:
        if problems := look_alikes(table[column], column):
            raise InputError(f"{path}: {problems[0]}")
    for column, expected in {"seconds": "a duration above 0", "sample_rate": "a rate in Hz above 0"}.items():
        numbers = pd.to_numeric(table[column], errors="coerce")
        reject(column, ~(np.isfinite(numbers) & (numbers > 0)), expected)
        table[column] = numbers
    return table.reset_index(drop=True)
