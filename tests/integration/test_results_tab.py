"""The app's tab of results, over the committed ones and without a browser."""

import json

import pandas as pd
import pytest

from app.results import clips_of_cell
from ser.evaluation.predictions import read_predictions
from tests.helpers.project import ROOT

testing = pytest.importorskip("streamlit.testing.v1")


def results_tab():
    """A script of Streamlit."""
    import json
    from pathlib import Path

    from app.results import results

    results(json.loads(Path("metrics/details.json").read_text()))


def test_results_are_shown_by_group_and_speaker(monkeypatch):
    monkeypatch.chdir(ROOT)
    details = json.loads((ROOT / "metrics/details.json").read_text())
    app = testing.AppTest.from_function(results_tab, default_timeout=120).run()
    assert not app.exception and not app.info
    titles = [expander.label for expander in app.expander]
    assert titles[0] == "Women and men, intensities, corpora" and "Errors, to listen to" in titles
    groups = next(text.value for text in app.markdown if "| sex " in text.value)
    for arm, metrics in details["arms"].items():
        assert arm in groups
        assert f"{100 * metrics['groups']['sex']['female']['value']:.1f}" in groups
    (matrix,) = [frame.value for frame in app.dataframe]
    predictions = pd.read_csv(ROOT / "metrics/predictions/baseline.csv")
    assert matrix.to_numpy().sum() == len(predictions)
    assert (
        matrix.loc["anger", "fear"]
        == ((predictions["emotion"] == "anger") & (predictions["predicted"] == "fear")).sum()
    )


def test_the_clips_of_a_cell_are_found_most_confident_first():
    emotions = json.loads((ROOT / "metrics/details.json").read_text())["emotions"]
    predictions = read_predictions(ROOT / "metrics/predictions/baseline.csv", emotions)
    clips = clips_of_cell(predictions, "fear", "sadness")
    own = predictions[predictions["clip"].isin(clips.index) & (predictions["predicted"] == "sadness")]
    assert set(own["emotion"]) == {"fear"} and len(clips) == own["clip"].nunique()
    assert clips.is_monotonic_decreasing and clips.iloc[0] == pytest.approx(own["sadness"].max(), abs=0.3)
    assert clips_of_cell(predictions.iloc[:0], "fear", "sadness").empty
