"""What every single training says: differences between arms fold by fold, beside those of the pooled predictions."""

import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from scripts import ablation, study_tables
from ser.evaluation.predictions import read_curves, read_predictions
from ser.reporting import tables


def read(arm, emotions):
    """UA of each training of an arm on its test and validation speakers, the latter at the epoch that they chose: a
    table of `test` and `validation`, a row a (repeat, fold)."""
    predictions = read_predictions(f"metrics/predictions/{arm}.csv", emotions).groupby(["repeat", "fold"])
    test = predictions.apply(lambda fold: balanced_accuracy_score(fold["emotion"], fold["predicted"]))
    best = ablation.chosen(read_curves(f"metrics/curves/{arm}.csv")).set_index(["repeat", "fold"])
    return pd.DataFrame({"test": test, "validation": best["validation_ua"]})


def table(trainings):
    """Differences of masked from baseline and of every generator from masked, from `{arm: table as of read}`: on the
    test speakers of each fold, and the mean over folds with its standard error, on test and on validation speakers."""
    first = next(iter(trainings.values()))
    columns = [f"fold {fold + 1}" + (f", repeat {repeat + 1}" if repeat else "") for repeat, fold in first.index]
    rows = [["arm", "against", *columns, "mean ± standard error", "validation speakers"]]
    alike = "masked" if "masked" in trainings else "baseline"  # what differs from a generator's arm in its clips alone
    for arm in [arm for arm in trainings if arm != "baseline"]:
        reference = "baseline" if arm == "masked" else alike
        ours, theirs = trainings[arm], trainings[reference]
        gains = 100 * (ours["test"] - theirs["test"])
        rows.append(
            [
                arm,
                reference,
                *(f"{gain:+z.1f}" for gain in gains),
                *(study_tables.paired(ours[side], theirs[side]) for side in ("test", "validation")),
            ]
        )
    return tables.markdown(rows)
