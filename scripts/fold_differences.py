"""Differences between arms fold by fold, next to those of the pooled predictions."""

import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from scripts import study_tables, validation
from ser.evaluation.predictions import NUMBERS, read_curves, read_predictions
from ser.reporting import tables


def read(arm: str, emotions: list[str]) -> pd.DataFrame:
    """Return the UA of an arm on each fold, averaged over runs: columns `test` and `validation`, by (repeat, fold).

    On validation speakers it is the UA at the epoch that they selected.
    """
    predictions = read_predictions(f"metrics/predictions/{arm}.csv", emotions).groupby(NUMBERS)
    test = predictions.apply(lambda run: balanced_accuracy_score(run["emotion"], run["predicted"]))
    selected = validation.by_fold(validation.selected_epochs(read_curves(f"metrics/curves/{arm}.csv")))
    return pd.DataFrame({"test": test.groupby(["repeat", "fold"]).mean(), "validation": selected["validation_ua"]})


def table(trainings: dict[str, pd.DataFrame], generators: list[str]) -> str:
    """Return the differences between arms fold by fold, from `{arm: table as of read}`.

    Arms on real clips are compared with the baseline, those of generators with `augmented`, whose augmentation they
    share: on the test speakers of each fold, and as the mean over folds with its standard error on test and on
    validation speakers.
    """
    first = next(iter(trainings.values()))
    columns = [f"fold {fold + 1}" + (f", repeat {repeat + 1}" if repeat else "") for repeat, fold in first.index]
    rows = [["arm", "against", *columns, "mean ± standard error", "validation speakers"]]
    for arm in [arm for arm in trainings if arm != "baseline"]:
        reference = "augmented" if arm in generators and "augmented" in trainings else "baseline"
        ours, theirs = trainings[arm], trainings[reference]
        gains = 100 * (ours["test"] - theirs["test"])
        rows.append(
            [
                arm,
                reference,
                *(f"{gain:+z.1f}" for gain in gains),
                *(study_tables.paired(list(ours[side]), list(theirs[side])) for side in ("test", "validation")),
            ]
        )
    return tables.markdown(rows)
