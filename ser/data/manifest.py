"""The catalogue data/catalogue.csv, one row per clip: its columns, the known emotions, and how it is checked."""

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


def duplicates(catalogue: pd.DataFrame) -> list[list[str]]:
    """Groups of clips whose files are identical, byte for byte."""
    return [list(clips) for _, clips in catalogue.groupby("sha256", sort=False)["clip"] if len(clips) > 1]


def load(path: Path | str) -> pd.DataFrame:
    """Read and check a catalogue; raises InputError that names the file, the column and the line."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; run `dvc repro catalogue` to make it")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a CSV table ({error}); run `dvc repro catalogue`") from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first cells for names of the lines
        raise InputError(f"{path}: lines have more cells than the header; run `dvc repro catalogue`")
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise InputError(f"{path}: column {', '.join(missing)} is missing; expected {', '.join(COLUMNS)}")

    def reject(column: str, bad: pd.Series, expected: str) -> None:
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            value = table[column][row]
            raise InputError(f"{path}, line {row + 2}, column {column}: {value!r}; expected {expected}")

    reject("clip", table["clip"].duplicated(), "each clip once")
    reject("emotion", ~table["emotion"].isin(EMOTIONS), f"one of {', '.join(EMOTIONS)}")
    for column, expected in {"seconds": "a duration above 0", "sample_rate": "a rate in Hz above 0"}.items():
        numbers = pd.to_numeric(table[column], errors="coerce")
        reject(column, ~(np.isfinite(numbers) & (numbers > 0)), expected)
        table[column] = numbers
    return table
