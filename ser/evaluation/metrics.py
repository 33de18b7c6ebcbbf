"""Accuracy from confusion matrices, one per run and speaker."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ser.core.errors import InputError

METRICS = ("ua", "wa", "f1")


def clips_of(predictions: pd.DataFrame, catalogue: pd.DataFrame) -> pd.DataFrame:
    """The rows of the catalogue for the predicted clips, indexed by clip, in the order of the predictions.

    Raises InputError for a clip that is not in the catalogue or has another emotion there.
    """
    clips = catalogue.set_index("clip").reindex(predictions["clip"])
    wrong = clips["emotion"].to_numpy() != predictions["emotion"].to_numpy()
    if wrong.any():
        row = predictions.iloc[wrong.argmax()]
        raise InputError(
            f"predictions hold clip '{row['clip']}' with emotion {row['emotion']}, "
            "the catalogue does not; run `dvc repro` to bring both up to date"
        )
    return clips


def confusions(
    predictions: pd.DataFrame,  # from `read_predictions`
    catalogue: pd.DataFrame,
    class_names: Sequence[str],
) -> tuple[np.ndarray, pd.DataFrame]:
    """Confusion matrices by run and speaker, with repeats pooled.

    Returns int counts [runs, speakers, true class, predicted class] and a table `speaker, corpus`. Runs are in order
    of their numbers, speakers in that of the table, sorted by corpus and speaker. Raises InputError for a clip that is
    not in the catalogue or has another emotion there.
    """
    clips = clips_of(predictions, catalogue)
    speaker_of_clip = pd.MultiIndex.from_frame(clips[["corpus", "speaker"]])
    speakers = speaker_of_clip.unique().sort_values()
    classes = pd.Index(class_names)
    runs, run_of_clip = np.unique(predictions["run"], return_inverse=True)
    cells = (
        run_of_clip,
        speakers.get_indexer(speaker_of_clip),
        classes.get_indexer(predictions["emotion"]),
        classes.get_indexer(predictions["predicted"]),
    )
    counts = np.zeros((len(runs), len(speakers), len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, cells, 1)
    return counts, speakers.to_frame(index=False)[["speaker", "corpus"]]


def classification_metrics(counts: np.ndarray) -> dict[str, np.ndarray]:
    """UA, WA, macro-F1 and recall of confusion matrices [..., true, predicted].

    - `ua`: the mean recall over classes (balanced accuracy);
    - `wa`: the accuracy;
    - `f1`: the mean F1 over classes;
    - `recall`: the recall of each class, [..., classes]; NaN for a class without clips.

    Classes without clips do not count in the means; all metrics of a matrix without clips are NaN.
    """
    correct = np.diagonal(counts, axis1=-2, axis2=-1)
    true, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    present = true > 0
    with np.errstate(invalid="ignore"):
        recall = correct / true
        f1 = 2 * correct / (true + predicted)
        return {
            "ua": np.where(present, recall, 0).sum(axis=-1) / present.sum(axis=-1),
            "wa": correct.sum(axis=-1) / true.sum(axis=-1),
            "f1": np.where(present, f1, 0).sum(axis=-1) / present.sum(axis=-1),
            "recall": recall,
        }
