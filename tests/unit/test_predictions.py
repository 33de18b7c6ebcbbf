"""Tables of predictions and learning curves, as they are read."""

import pandas as pd
import pytest

from ser.core.errors import InputError
from ser.evaluation.predictions import learning_curves, read_curves, read_predictions
from tests.helpers.fabricated_study import EMOTIONS, fabricate


def write(tmp_path, change):
    _, predictions = fabricate(arms=("baseline",))
    table = predictions["baseline"].astype({"repeat": object, "anger": object})
    path = tmp_path / "baseline.csv"
    change(table).to_csv(path, index=False)
    return path


def put(row, **values):
    def change(table):
        for column, value in values.items():
            table.loc[row, column] = value
        return table

    return change


def test_predictions_survive_the_file(tmp_path):
    path = write(tmp_path, lambda table: table.round(dict.fromkeys(EMOTIONS, 4)))
    table = read_predictions(path, EMOTIONS)
    assert len(table) == 168 and table["fear"].dtype == float and table["repeat"].dtype == int


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda table: table.drop(columns="fear"), "no column fear; expected repeat, fold, run, clip"),
        (lambda table: table.iloc[:0], "holds no rows"),
        (put(4, anger=""), "line 6: anger is not a finite number"),
        (put(4, anger="inf"), "line 6: anger is not a finite number"),
        (put(4, repeat="first"), "line 6: repeat is not a finite number"),
        (put(2, anger=-0.2), "line 4: a probability lies outside 0..1"),
        (put(2, anger=0.5, fear=0.5, neutral=0.5, sadness=0), "line 4: the probabilities do not sum to 1"),
        (put(0, emotion="joy"), "line 2: emotion is not one of anger, fear, neutral, sadness"),
        (put(0, predicted=""), "line 2: predicted is not one of anger"),
        (
            put(1, predicted="fear", anger=0.7, fear=0.3, neutral=0, sadness=0),
            "line 3: predicted is not the most probable",
        ),
        (put(5, clip="emodb/00-00"), "line 7: this run already predicted this clip in this repeat"),
    ],
)
def test_bad_predictions(tmp_path, change, message):
    path = write(tmp_path, change)
    with pytest.raises(InputError) as error:
        read_predictions(path, EMOTIONS)
    assert str(error.value).startswith(str(path)) and message in str(error.value)


@pytest.mark.parametrize("content", [b"", b'a,b\n1,"2\n', b"\xff\xfe\x00,"])
def test_files_that_are_no_tables(tmp_path, content):
    path = tmp_path / "baseline.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a readable CSV file|no column"):
        read_predictions(path, EMOTIONS)


def history(*rows):
    return pd.DataFrame(rows, columns=["repeat", "fold", "run", "epoch", "train_loss"])


def test_learning_curves_are_means_over_folds_and_runs():
    baseline = history((0, 0, 0, 1, 2.0), (0, 0, 0, 2, 1.0), (0, 0, 1, 1, 3.0), (0, 0, 1, 2, 0.0))
    other_fold = history((0, 1, 0, 1, 7.0), (0, 1, 0, 2, 2.0))
    curves = learning_curves(
        {"baseline": pd.concat([baseline, other_fold]).sample(frac=1, random_state=0), "augmented": other_fold}
    )
    assert curves.columns.tolist() == ["arm", "epoch", "loss"]
    assert curves.to_numpy().tolist() == [
        ["baseline", 1, 4.0],
        ["baseline", 2, 1.0],
        ["augmented", 1, 7.0],
        ["augmented", 2, 2.0],
    ]


def test_curves_may_or_may_not_have_columns_of_validation(tmp_path):
    path = tmp_path / "augmented.csv"
    without = history((0, 0, 0, 1, 2.0), (0, 0, 0, 2, 1.0))
    for table in (without, without.assign(validation_loss=1.0, validation_ua=0.5)):
        table.to_csv(path, index=False)
        assert list(read_curves(path)) == list(table)


def test_bad_curves(tmp_path):
    path = tmp_path / "augmented.csv"
    history((0, 0, 0, 1, 0.2), (0, 0, 0, 1, 0.3)).to_csv(path, index=False)
    with pytest.raises(InputError, match="augmented.csv, line 3: this epoch of this run was already listed"):
        read_curves(path)
