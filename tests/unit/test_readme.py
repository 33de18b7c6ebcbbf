"""What the README says is what is committed."""

import json
import re

import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from ser.core import params
from ser.corpora import folder
from tests.helpers.project import ROOT

README = (ROOT / "README.md").read_text()


def test_committed_figures_are_recomputed_from_the_committed_predictions():
    summary = json.loads((ROOT / "metrics/compare.json").read_text())
    study = params.load(ROOT / "params.yaml")["study"]
    assert list(summary) == study["arms"] + study["generators"]
    for arm, figures in summary.items():
        table = pd.read_csv(ROOT / f"metrics/predictions/{arm}.csv")
        assert len(table) == 1510
        assert figures["ua"] == pytest.approx(balanced_accuracy_score(table["emotion"], table["predicted"]), abs=1e-6)


def test_the_table_of_recordings_is_one_that_the_corpus_takes(tmp_path):
    written = README.split("```\nfile,speaker,emotion", 1)[1].split("```")[0]
    (tmp_path / "clips.csv").write_text(f"file,speaker,emotion{written}")
    rows = folder.read(tmp_path)
    assert rows["speaker"].tolist() == ["anna", "anna", "ben"]


def test_pictures_and_files_named_there_exist():
    paths = re.findall(r"\]\((?!http|#)([^)#]+)", README)
    assert {"plots/ua.png", "docs/results.md"} <= set(paths)
    for path in paths:
        assert (ROOT / path).exists(), path
