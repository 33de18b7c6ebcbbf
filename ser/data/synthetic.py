"""Synthetic clips: a mel store whose index also has the columns `repeat`, `fold`, `emotion` and `train_digest`.

The last one is the digest of the training part that their generator was fitted to. Synthetic clips are only ever
trained on, in that fold alone.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from ser.core.errors import InputError
from ser.core.fold import Fold
from ser.data import mel_store
from ser.data.clips import Clips, load_clips


def index(folder: Path | str, fold: Fold) -> pd.DataFrame:
    """The rows of the synthetic clips made for `fold`; refuses clips that were made from other training clips."""
    index = mel_store.read(folder).index
    rows = index[(index.repeat == fold.repeat) & (index.fold == fold.fold)]
    if rows.empty:
        raise InputError(f"{folder}: no clips for repeat {fold.repeat} fold {fold.fold}; run `dvc repro`")
    for digest in rows["train_digest"].unique():
        fold.check_train_digest(digest, f"{folder}: a synthetic clip")
    return rows


def clips(folder: Path | str, fold: Fold, class_names: Sequence[str], device: torch.device) -> Clips:
    """The synthetic clips made for `fold` as tensors, in the order of `index`."""
    return _load(folder, index(folder, fold), class_names, device)


def all_clips(folder: Path | str, class_names: Sequence[str], device: torch.device) -> Clips:
    """The synthetic clips of all folds as tensors: for a model that is not going to be tested."""
    return _load(folder, mel_store.read(folder).index, class_names, device)


def _load(folder: Path | str, rows: pd.DataFrame, class_names: Sequence[str], device: torch.device) -> Clips:
    emotion_of = dict(zip(rows["clip"], rows["emotion"], strict=True))
    return load_clips(mel_store.read(folder), list(rows["clip"]), emotion_of, class_names, device)
