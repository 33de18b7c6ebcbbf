"""Differences between arms fold by fold, next to those of the pooled predictions."""

import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from scripts import study_tables
from ser.evaluation.predictions import NUMBERS, read_predictions
from ser.reporting import tables


def read(arm: str, emotions: list[str]) -> pd.Series:
    """Return the UA of an arm on the test speakers of each fold, averaged over runs, by (repeat, fold)."""
    predictions = read_predictions(f"metrics/predictions/{arm}.csv", emotions).groupby(NUMBERS)
    recalls = predictions.apply(lambda run: balanced_accuracy_score(run["emotion"], run["predicted"]))
    return recalls.groupby(["repeat", "fold"]).mean()


def table(ua: dict[str, pd.Series], generators: list[str]) -> str:
    """Return the differences between arms fold by fold, from `{arm: series as of read}`.

    Arms on real clips are compared with the baseline, those of generators with `augmented`, whose augmentation they
    share: on each fold, and as the mean over folds with its standard error.
    """
    first = next(iter(ua.values()))
    columns = [f"fold {fold + 1}" + (f", repeat {repeat + 1}" if repeat else "") for repeat, fold in first.index]
    rows = [["arm", "against", *columns, "mean ± standard error"]]
    for arm in [arm for arm in ua if arm != "baseline"]:
        reference = "augmented" if arm in generators and "augmented" in ua else "baseline"
        gains = 100 * (ua[arm] - ua[reference])
        mean = study_tables.paired(list(ua[arm]), list(ua[reference]))
        rows.append([arm, reference, *(f"{gain:+z.1f}" for gain in gains), mean])
    return tables.markdown(rows)
