"""Mel spectrograms of many clips in one memory-mapped file with an index.

`frames.npy` holds all frames, float16, time-major `[frames, n_mels]`, in dB below each clip's peak; `index.csv` has a
row a clip: `clip,start,frames` and whatever else its writer knows of it.
"""

from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np
import pandas as pd

from ser.core.atomic import replacing
from ser.core.errors import InputError

FLOOR_DB = -80.0
COLUMNS = ["clip", "start", "frames"]


@dataclass(frozen=True)
class Pack:
    frames: np.ndarray  # memory-mapped float16 [frames, n_mels]
    index: pd.DataFrame

    def clip(self, name):
        """The mel spectrogram of one clip, float32 [n_mels, frames], dB."""
        row = self.index[self.index["clip"] == name].iloc[0]
        return self.frames[row.start : row.start + row.frames].T.astype(np.float32)


def write(folder, clips):
    """Write `(row, frames [n, n_mels])` pairs as a pack in `folder`, one at a time; `row` is a dict with `clip`."""
    rows, start = [], 0
    with replacing(folder) as temporary:
        temporary.mkdir()
        with open(temporary / "frames.npy", "wb") as file:
            # The header reserves room for its first axis to grow (numpy.lib.format), so it is rewritten in place.
            for row, frames in clips:
                if start == 0:
                    _write_header(file, 0, frames.shape[1])
                file.write(np.ascontiguousarray(frames, np.float16).data)
                rows.append({"clip": row["clip"], "start": start, "frames": len(frames), **row})
                start += len(frames)
            if not rows:
                raise InputError(f"{folder}: no clips to write; check `corpora` and `emotions` in params.yaml")
            file.seek(0)
            _write_header(file, start, frames.shape[1])
        pd.DataFrame(rows).to_csv(temporary / "index.csv", index=False)


def _write_header(file, length, n_mels):
    header = {"descr": "<f2", "fortran_order": False, "shape": (length, n_mels)}
    np.lib.format.write_array_header_1_0(file, header)


def read(folder):
    """Open the pack in `folder` without loading its frames; raises InputError where file and index disagree."""
    folder = Path(folder)
    try:
        index = pd.read_csv(folder / "index.csv", dtype={"clip": str, "training": str})
        frames = np.load(folder / "frames.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, TokenError) as error:  # of numpy's header the last two
        raise InputError(f"{folder}: not a readable pack of mels ({error}); run `dvc repro` or `dvc pull`") from None
    if missing := [column for column in COLUMNS if column not in index]:
        raise InputError(f"{folder}/index.csv: column {missing[0]} is missing; run `dvc repro` to make it again")
    if frames.dtype != np.float16 or frames.ndim != 2:
        raise InputError(f"{folder}/frames.npy: not float16 [frames, n_mels]; run `dvc repro` to make it again")
    ends = index.frames.cumsum()
    if len(frames) != index.frames.sum() or (index.start != ends - index.frames).any() or not index["clip"].is_unique:
        raise InputError(f"{folder}: frames.npy and index.csv do not belong together; run `dvc repro` to make both")
    return Pack(frames, index)


def join(folder, parts):
    """Write the packs in the folders `parts` as one, one after the other."""
    write(folder, (clip for part in parts for clip in _clips(read(part))))


def _clips(pack):
    for row in pack.index.to_dict("records"):
        yield row, pack.frames[row.pop("start") :][: row.pop("frames")]
