"""Predictions and learning curves of an arm, as its stage writes them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ser.core.errors import InputError

NUMBERS = ["repeat", "fold", "run"]  # of a training
# The conditions under which test clips are enhanced, and their titles.
CONDITIONS = {"true_label": "true label (leaks)", "predicted_label": "predicted label", "no_label": "no label"}


def result(path: str, arm: str, stage_name: str) -> str:
    """The path of a result of an arm; raises InputError with the stage to run where it is missing."""
    if not Path(path).exists():
        raise InputError(f"{path} is missing: arm '{arm}' has no results yet; make them with `dvc repro {stage_name}`")
    return path


def read_predictions(path: Path | str, class_names: Sequence[str]) -> pd.DataFrame:
    """The predictions of an arm for test clips.

    The columns are `repeat, fold, run, clip, emotion, predicted` and a probability per class.

    Raises InputError naming the file and the line where

    - a column is missing, or an emotion is unknown;
    - probabilities are not finite, not in 0..1 or do not sum to 1 (within 1e-3);
    - `predicted` is not the most probable emotion;
    - a (repeat, run, clip) occurs twice.
    """
    class_names = list(class_names)
    table = _read(
        path,
        [*NUMBERS, "clip", "emotion", "predicted", *class_names],
        numeric=[*NUMBERS, *class_names],
    )
    probability = table[class_names].to_numpy()
    for column in ("emotion", "predicted"):
        _refuse(path, ~table[column].isin(class_names), f"{column} is not one of {', '.join(class_names)}")
    _refuse(path, ((probability < 0) | (probability > 1)).any(axis=1), "a probability lies outside 0..1")
    _refuse(path, abs(probability.sum(axis=1) - 1) > 1e-3, "the probabilities do not sum to 1")
    of_predicted = probability[np.arange(len(table)), table["predicted"].map(class_names.index)]
    _refuse(path, of_predicted < probability.max(axis=1), "predicted is not the most probable emotion")
    _refuse(path, table.duplicated(["repeat", "run", "clip"]), "this run already predicted this clip in this repeat")
    return table


def read_curves(path: Path | str) -> pd.DataFrame:
    """Learning curves of one arm: `repeat, fold, run, epoch, train_loss`.

    Where folds have validation speakers there are also `validation_loss` and `validation_ua`.
    """
    columns = [*NUMBERS, "epoch", "train_loss"]
    table = _read(path, columns, numeric=columns)
    _refuse(path, table.duplicated([*NUMBERS, "epoch"]), "this epoch of this run was already listed")
    return table


def _read(path: Path | str, columns: list[str], numeric: list[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable CSV file ({error})") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}; expected {', '.join(columns)}")
    if table.empty:
        raise InputError(f"{path}: holds no rows; run the stage that writes it again")
    for column in numeric:
        table[column] = pd.to_numeric(table[column], errors="coerce")
        _refuse(path, ~np.isfinite(table[column]), f"{column} is not a finite number")
    return table


def _refuse(path: Path | str, wrong_rows: pd.Series | np.ndarray, why: str) -> None:
    wrong = np.asarray(wrong_rows)
    if wrong.any():
        raise InputError(f"{path}, line {wrong.argmax() + 2}: {why}; run the stage that writes it again")


def curves_by_run(history: pd.DataFrame, column: str) -> pd.DataFrame:
    """One curve per training, [epoch, (repeat, fold, run)]."""
    return history.pivot(index="epoch", columns=NUMBERS, values=column).sort_index()


def learning_curves(histories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Mean training loss over repeats, folds and runs: the table `arm,epoch,loss`.

    `histories` has the table of each arm, from `read_curves`.
    """
    curves = {arm: curves_by_run(history, "train_loss").mean(axis=1) for arm, history in histories.items()}
    return pd.concat(curves, names=["arm", "epoch"]).rename("loss").reset_index().astype({"epoch": int})
