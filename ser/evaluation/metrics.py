"""Accuracy from confusion matrices, one per speaker."""

import numpy as np
import pandas as pd

from ser.core.errors import InputError

METRICS = ("ua", "wa", "f1")


def confusions(predictions, catalogue, emotions):
    """Confusion matrices by speaker, repeats pooled.

    Returns (counts, speakers): int [speakers, true emotion, predicted emotion], and a table `speaker, corpus`
    in the same order, sorted by corpus and speaker. Raises InputError for a clip that is not in the catalogue
    or has another emotion there.
    """
    clips = catalogue.set_index("clip").reindex(predictions["clip"])
    wrong = clips["emotion"].to_numpy() != predictions["emotion"].to_numpy()
    if wrong.any():
        row = predictions.iloc[wrong.argmax()]
        raise InputError(
            f"predictions hold clip '{row['clip']}' with emotion {row['emotion']}, "
            "the catalogue does not; run `dvc repro` to bring both up to date"
        )
    owners = pd.MultiIndex.from_frame(clips[["corpus", "speaker"]])
    order = owners.unique().sort_values()
    labels = pd.Index(emotions)
    cells = (
        order.get_indexer(owners),
        labels.get_indexer(predictions["emotion"]),
        labels.get_indexer(predictions["predicted"]),
    )
    counts = np.zeros((len(order), len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, cells, 1)
    return counts, order.to_frame(index=False)[["speaker", "corpus"]]


def classification_metrics(counts):
    """UA, WA, macro-F1 and recall of confusion matrices [..., true, predicted].

    UA is the mean recall (balanced accuracy) and WA the accuracy; UA and F1 are means over the emotions that
    occur as truth. Returns {"ua", "wa", "f1": [...], "recall": [..., emotions]}; the recall of an absent
    emotion is NaN.
    """
    correct = np.diagonal(counts, axis1=-2, axis2=-1)
    true, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    with np.errstate(invalid="ignore"):
        recall = correct / true
        f1 = np.where(true > 0, 2 * correct / (true + predicted), np.nan)
    return {
        "ua": np.nanmean(recall, axis=-1),
        "wa": correct.sum(axis=-1) / true.sum(axis=-1),
        "f1": np.nanmean(f1, axis=-1),
        "recall": recall,
    }
