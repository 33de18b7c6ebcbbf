"""From the folders of the corpora to the rows of the catalogue: file names are parsed, all audio is decoded."""

import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from ser.audio.io import read_audio
from ser.core import files, threads
from ser.core.errors import InputError
from ser.core.params import Config
from ser.core.stage import progress
from ser.data.manifest import COLUMNS, clean


class CorporaConfig(Config):
    emodb: bool
    ravdess: bool
    demo: bool
    folder: bool


def build(root: Path, names: list[str]) -> pd.DataFrame:
    """The catalogue of the corpora `names` in `root`/data/corpora: one row per clip, with COLUMNS, sorted by clip.

    Every file is decoded from end to end. Raises one InputError that lists every file that is wrongly named,
    unusable (see `read_audio`), or shares its name with another. What is odd about a file is noted on stderr.
    """
    tasks = [(name, path) for name in names for path in _clips(root, name)]
    parsers = {name: importlib.import_module(f"ser.corpora.{name}").parse for name in names}

    def describe(task: tuple[str, Path]) -> dict[str, Any] | InputError:
        name, path = task
        try:
            row = {"clip": f"{name}/{clean(path.stem)}", "corpus": name, "path": path.relative_to(root).as_posix()}
            return row | parsers[name](path) | measure(path)
        except InputError as error:
            return error

    rows = list(progress(threads.in_order(describe, tasks), "catalogue", unit="clip", total=len(tasks)))
    offenders = [str(row) for row in rows if isinstance(row, InputError)]
    table = pd.DataFrame([row for row in rows if isinstance(row, dict)], columns=COLUMNS)
    table = table.sort_values(["clip", "path"], ignore_index=True)
    repeated = table["clip"].duplicated(keep=False)
    offenders += [f"{row.path}: another file is named {row.clip} too" for row in table[repeated].itertuples()]
    for row in rows:
        for notice in row["notices"] if isinstance(row, dict) else []:
            print(f"notice: {row['path']}: {notice}", file=sys.stderr)
    if offenders:
        first = f"{len(offenders)} of {len(tasks)} files cannot be used; repair or remove them:"
        raise InputError("\n  ".join([first, *offenders]))
    return table


def _clips(root: Path, name: str) -> list[Path]:
    folder = root / "data/corpora" / name
    clips = sorted(path for path in files.walk(folder) if path.suffix.lower() == ".wav") if folder.exists() else []
    if not clips:
        raise InputError(f"{folder} holds no wav files; run `dvc repro download@{name}` to fill it")
    return clips


def measure(path: Path) -> dict[str, Any]:
    """Duration in seconds, sample rate in Hz, sha256 and notices of a file; raises InputError for unusable audio."""
    recording = read_audio(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "seconds": recording.seconds,
        "sample_rate": recording.rate,
        "sha256": digest,
        "notices": recording.notices(),
    }
