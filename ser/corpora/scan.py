"""From the folders of the corpora to the rows of the catalogue: file names are parsed, all audio is decoded."""

import hashlib
import importlib
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from ser.audio.io import duration
from ser.core import threads
from ser.core.errors import InputError
from ser.core.params import Config
from ser.core.stage import progress
from ser.data.manifest import COLUMNS


class CorporaConfig(Config):
    emodb: bool
    ravdess: bool
    demo: bool
    folder: bool


SILENCE = 1e-4  # peak, of full scale; the softest clip of RAVDESS peaks at 0.006
BLOCK = 1 << 16  # samples that are decoded at a time


def build(root: Path, names: list[str]) -> pd.DataFrame:
    """The catalogue of the corpora `names` in `root`/data/corpora: one row per clip, with COLUMNS, sorted by clip.

    Every file is decoded from end to end. Raises one InputError that lists every file that is wrongly named,
    unreadable, truncated, empty or silent, contains samples that are not finite, or shares its name with another.
    """
    tasks = [(name, path) for name in names for path in _clips(root, name)]
    parsers = {name: importlib.import_module(f"ser.corpora.{name}").parse for name in names}

    def describe(task: tuple[str, Path]) -> dict[str, Any] | InputError:
        name, path = task
        try:
            row = {"clip": f"{name}/{path.stem}", "corpus": name, "path": path.relative_to(root).as_posix()}
            return row | parsers[name](path) | measure(path)
        except InputError as error:
            return error

    rows = list(progress(threads.in_order(describe, tasks), "catalogue", unit="clip", total=len(tasks)))
    offenders = [str(row) for row in rows if isinstance(row, InputError)]
    table = pd.DataFrame([row for row in rows if isinstance(row, dict)], columns=COLUMNS)
    table = table.sort_values(["clip", "path"], ignore_index=True)
    repeated = table["clip"].duplicated(keep=False)
    offenders += [f"{row.path}: another file is named {row.clip} too" for row in table[repeated].itertuples()]
    if offenders:
        first = f"{len(offenders)} of {len(tasks)} files cannot be used; repair or remove them:"
        raise InputError("\n  ".join([first, *offenders]))
    return table


def _clips(root: Path, name: str) -> list[Path]:
    folder = root / "data/corpora" / name
    clips = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".wav")
    if not clips:
        raise InputError(f"{folder} holds no wav files; run `dvc repro download@{name}` to fill it")
    return clips


def measure(path: Path) -> dict[str, float | int | str]:
    """Duration in seconds, sample rate in Hz and sha256 of a file; raises InputError for unusable audio."""
    try:
        with soundfile.SoundFile(path) as sound:
            seconds, rate = duration(path, sound), sound.samplerate
            peak = np.float32(0)
            for block in sound.blocks(max(1, BLOCK // sound.channels), dtype="float32"):
                peak = np.maximum(peak, np.abs(block).max())  # NaN stays NaN
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: unreadable ({error.error_string})") from error
    if missing := _missing_bytes(path):
        raise InputError(f"{path}: truncated, {missing:,} bytes of audio are missing")
    if not seconds:
        raise InputError(f"{path}: empty, no samples")
    if not np.isfinite(peak):
        raise InputError(f"{path}: holds samples that are not finite (NaN or infinity)")
    if peak < SILENCE:
        raise InputError(f"{path}: silent, its peak is {peak:.1e} of full scale")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"seconds": seconds, "sample_rate": rate, "sha256": digest}


def _missing_bytes(path: Path) -> int:
    """How many bytes the `data` chunk of a wav file announces beyond the end of the file, where decoders just stop."""
    with path.open("rb") as file:
        file.seek(12)
        while len(header := file.read(8)) == 8:
            chunk, size = struct.unpack("<4sI", header)
            if chunk == b"data":
                return max(0, file.tell() + size - path.stat().st_size)
            file.seek(size + size % 2, os.SEEK_CUR)
    return 0
