"""UA on validation speakers at the epoch that training selected."""

import pandas as pd


def selected_epochs(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the row of every (repeat, fold) whose epoch training selected (ser/training/loop.py).

    That is the best validation UA, of equals the lowest validation loss, of equals the first.
    """
    order = curves.sort_values(["validation_ua", "validation_loss", "epoch"], ascending=[False, True, True])
    return order.groupby(["repeat", "fold"]).head(1).sort_values(["repeat", "fold"])
