"""What the README and the pages of docs/ say is so."""

import json
import re

import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from ser.core import params
from ser.corpora import folder
from tests.helpers.project import ROOT

README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *DOCS, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"))]
LARGEST = 8192  # bytes of the README


def page_name(page):
    return page.relative_to(ROOT).as_posix()


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_committed_metrics_are_recomputed_from_the_committed_predictions():
    summary = json.loads((ROOT / "metrics/compare.json").read_text())
    settings = params.load(ROOT / "params.yaml")
    study = settings["study"]
    arms = [*study["arms"], *study["generators"]]
    assert list(summary) == [arm for arm in arms if arm in summary]
    for arm in {*arms} - {*summary}:
        assert re.search(rf"^\| {arm} +\| not run yet ", README.read_text(), re.MULTILINE), arm
    for arm, metrics in summary.items():
        table = pd.read_csv(ROOT / f"metrics/predictions/{arm}.csv")
        assert len(table) == 1510 * settings["training"]["runs"]
        assert metrics["ua"] == pytest.approx(balanced_accuracy_score(table["emotion"], table["predicted"]), abs=1e-6)


def test_the_table_of_recordings_is_one_that_the_corpus_takes(tmp_path):
    usage = (ROOT / "docs/usage.md").read_text()
    written = usage.split("```\nfile,speaker,emotion", 1)[1].split("```")[0]
    (tmp_path / "clips.csv").write_text(f"file,speaker,emotion{written}")
    rows = folder.read(tmp_path)
    assert rows["speaker"].tolist() == ["anna", "anna", "ben", "ben", "cleo", "cleo"]


def test_the_readme_is_short():
    assert len(README.read_bytes()) <= LARGEST


def test_the_readme_shows_the_headline():
    assert "](plots/overview/diffusion.png)" in README.read_text()
    assert "](docs/results.md)" in README.read_text()


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_and_pictures_exist(page):
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert target.is_relative_to(ROOT), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


def test_the_index_lists_every_page():
    listed = re.findall(r"^\| \[[^]]*\]\(([^)]+)\)", (ROOT / "docs/index.md").read_text(), re.MULTILINE)
    assert sorted(listed) == [page.name for page in DOCS if page.name != "index.md"]


@pytest.mark.parametrize("page", [README, *DOCS], ids=page_name)
def test_paths_in_the_text_exist(page):
    """Source files, folders and experiments that are named in backticks."""
    named = re.findall(
        r"`((?:app|benchmarks|experiments|notebooks|scripts|ser|stages|tests)/[\w./]*)`", page.read_text()
    )
    missing = [path for path in named if not (ROOT / path).exists()]
    assert set(missing) <= {"ser/generators/gaussian.py", "ser/models/backbones/moments.py"}


@pytest.mark.parametrize("page", [README, *DOCS], ids=page_name)
def test_old_names_are_gone(page):
    """Names in the left columns of the tables in CHANGELOG.md, where they cannot be mistaken for an ordinary word."""
    changes = (ROOT / "CHANGELOG.md").read_text()
    cells = re.findall(r"^\| (`[^|]*) \|", changes, re.MULTILINE)
    old = {name for cell in cells for name in re.findall(r"`([^`]*[/_.][^`]*|python -m \w+)`", cell)}
    assert len(old) > 50
    text = page.read_text()
    patterns = {name: re.escape(name) + ("" if name.endswith("/") else r"(?!\.?\w)") for name in old}
    assert not [name for name, pattern in patterns.items() if re.search(rf"(?<![\w/.]){pattern}", text)]
