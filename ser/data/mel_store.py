"""The mel store: mel spectrograms of many clips in one memory-mapped file with an index.

`frames.npy` holds all frames, float16, time-major `[frames, n_mels]`, in dB below each clip's peak; `index.csv` has one
row per clip: `clip,start,frames` and whatever else its writer says about it. In memory mels are `[n_mels, frames]`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from ser.core.atomic import replacing
from ser.core.errors import InputError

FLOOR_DB = -80.0
COLUMNS = ["clip", "start", "frames"]


@dataclass(frozen=True)
class MelStore:
    frames: np.ndarray  # memory-mapped float16 [frames, n_mels]
    index: pd.DataFrame

    def clip(self, name: str) -> np.ndarray:
        """The mel spectrogram of one clip, float32 `[n_mels, frames]`, dB."""
        row = self.index[self.index["clip"] == name].iloc[0]
        return self.frames[row.start : row.start + row.frames].T.astype(np.float32)


def write(folder: Path | str, clips: Iterable[tuple[dict[str, Any], np.ndarray]]) -> None:
    """Write `(row, mel [n_mels, frames])` pairs to `folder`, one at a time; `row` has the key `clip`."""
    rows: list[dict[str, Any]] = []
    start = 0
    with replacing(folder) as temporary:
        temporary.mkdir()
        with open(temporary / "frames.npy", "wb") as file:
            # The header reserves room for its first axis to grow (numpy.lib.format), so it is rewritten in place.
            for row, mel in clips:
                n_mels, length = mel.shape
                if start == 0:
                    _write_header(file, 0, n_mels)
                file.write(np.ascontiguousarray(mel.T, np.float16).data)
                rows.append({"clip": row["clip"], "start": start, "frames": length, **row})
                start += length
            if not rows:
                raise InputError(f"{folder}: no clips to write; check `corpora` and `emotions` in params.yaml")
            file.seek(0)
            _write_header(file, start, n_mels)
        pd.DataFrame(rows).to_csv(temporary / "index.csv", index=False)


def _write_header(file: BinaryIO, length: int, n_mels: int) -> None:
    header = {"descr": "<f2", "fortran_order": False, "shape": (length, n_mels)}
    np.lib.format.write_array_header_1_0(file, header)


def read(folder: Path | str) -> MelStore:
    """Open the store in `folder` without loading its frames; raises InputError where file and index disagree."""
    folder = Path(folder)
    try:
        index = pd.read_csv(folder / "index.csv", dtype={"clip": str, "train_digest": str})
        frames = np.load(folder / "frames.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, TokenError) as error:  # of numpy's header the last two
        raise InputError(f"{folder}: not a readable mel store ({error}); run `dvc repro` or `dvc pull`") from None
    if missing := [column for column in COLUMNS if column not in index]:
        raise InputError(f"{folder}/index.csv: column {missing[0]} is missing; run `dvc repro` to make it again")
    if frames.dtype != np.float16 or frames.ndim != 2:
        raise InputError(f"{folder}/frames.npy: not float16 [frames, n_mels]; run `dvc repro` to make it again")
    ends = index.frames.cumsum()
    if len(frames) != index.frames.sum() or (index.start != ends - index.frames).any() or not index["clip"].is_unique:
        raise InputError(f"{folder}: frames.npy and index.csv do not belong together; run `dvc repro` to make both")
    return MelStore(frames, index)


def join(folder: Path | str, parts: Iterable[Path]) -> None:
    """Write the stores in the folders `parts` as one, one after the other."""
    write(folder, (clip for part in parts for clip in _clips(read(part))))


def _clips(store: MelStore) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    for row in store.index.to_dict("records"):
        yield row, store.frames[row.pop("start") :][: row.pop("frames")].T
