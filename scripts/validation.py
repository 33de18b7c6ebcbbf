"""UA on validation speakers at the epoch that training selected."""

import pandas as pd

from ser.evaluation.predictions import NUMBERS


def selected_epochs(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the row of every (repeat, fold, run) whose epoch training selected (ser/training/loop.py).

    That is the best validation UA, of equals the lowest validation loss, of equals the first.
    """
    order = curves.sort_values(["validation_ua", "validation_loss", "epoch"], ascending=[False, True, True])
    return order.groupby(NUMBERS).head(1).sort_values(NUMBERS)


def by_fold(selected: pd.DataFrame) -> pd.DataFrame:
    """Return the means over runs of `validation_ua` and `epoch`, by (repeat, fold)."""
    return selected.groupby(["repeat", "fold"])[["validation_ua", "epoch"]].mean()
