"""Synthetic clips: a pack whose index also says of each clip `repeat,fold,emotion,training`, the last being the digest
of the training part that its generator learnt from. They are only ever trained on, in that fold alone."""

from ser.core.errors import InputError
from ser.data import mel_store
from ser.data.clips import load_clips


def index(folder, fold):
    """The rows of the synthetic clips made for `fold`; refuses clips that were made from other training clips."""
    index = mel_store.read(folder).index
    rows = index[(index.repeat == fold.repeat) & (index.fold == fold.fold)]
    if rows.empty:
        raise InputError(f"{folder}: no clips for repeat {fold.repeat} fold {fold.fold}; run `dvc repro`")
    for digest in rows["training"].unique():
        fold.same_training(digest, f"{folder}: a synthetic clip")
    return rows


def everything(folder, emotions, device):
    """The synthetic clips of all folds as tensors: for a model that is not to be tested."""
    pack = mel_store.read(folder)
    emotion = dict(zip(pack.index["clip"], pack.index.emotion, strict=True))
    return load_clips(pack, list(emotion), emotion, emotions, device)


def clips(folder, fold, emotions, device):
    """The synthetic clips made for `fold` as tensors, in the order of `index`."""
    rows = index(folder, fold)
    emotion = dict(zip(rows["clip"], rows.emotion, strict=True))
    return load_clips(mel_store.read(folder), list(rows["clip"]), emotion, emotions, device)
