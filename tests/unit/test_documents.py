"""Generated tables and pictures are those of the committed results; shell in the documents parses."""

import re
import subprocess
from pathlib import Path

import pytest

from benchmarks import measured
from benchmarks import run as bench
from scripts import licences, results
from ser.core import params
from ser.reporting import figures
from tests.helpers.project import ROOT
from tests.stress import run as stress


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_tables_of_performance_are_those_of_the_results():
    shown = bench.DOCUMENT.read_text().partition(measured.BEGIN)[2].partition(measured.END)[0]
    assert shown == bench.tables(bench.load())
    assert set(bench.load()) == {*bench.NAMES, "study"}


def test_the_tables_of_reliability_are_those_of_the_results():
    shown = stress.DOCUMENT.read_text().partition(measured.BEGIN)[2].partition(measured.END)[0]
    assert shown == stress.tables(stress.load())
    assert set(stress.load()["properties"]["drawn"]) == {
        "tests/unit/test_splits.py::test_no_fold_leaks",
        "tests/unit/test_splits.py::test_a_planted_leak_is_refused",
        "tests/unit/test_metrics.py::test_metrics_agree_with_scikit_learn",
    }


@pytest.mark.parametrize("document", results.DOCUMENTS, ids=str)
def test_the_tables_of_the_results_are_those_of_the_committed_metrics(document):
    assert document.read_text() == results.filled(document, results.contents(results.load()))


def test_all_results_are_shown():
    shown = {match[2] for document in results.DOCUMENTS for match in results.MARK.finditer(document.read_text())}
    assert shown == set(results.contents(results.load()))


def test_the_pictures_are_those_of_the_committed_metrics(tmp_path):
    drawn = results.pictures(results.load())
    assert set(drawn) == {results.LEAKAGE, results.SUMMARY}
    for path, picture in drawn.items():
        figures.save(picture, tmp_path / path.name)
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_licences_of_all_that_is_used_directly_are_listed():
    table = (ROOT / licences.DOCUMENT).read_text().partition("| package |")[2]
    rows = dict(line.strip("| ").split(" | ") for line in table.splitlines()[2:])
    assert list(rows) == licences.packages() and all(rows.values())


@pytest.mark.parametrize("document", [ROOT / "README.md", *(ROOT / "docs").glob("*.md")], ids=lambda page: page.name)
def test_shell_in_the_documents_parses(document):
    for script in re.findall(r"```bash\n(.*?)```", document.read_text(), re.DOTALL):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_the_files_for_clusters_are_sound_and_say_what_is_installed():
    subprocess.run(["bash", "-n", "deploy/slurm.sh"], check=True)
    job = params.parse(Path("deploy/rayjob.yaml").read_bytes(), "deploy/rayjob.yaml")["spec"]["rayClusterSpec"]
    assert f"ray=={job['rayVersion']}" in Path("requirements-cluster.txt").read_text()
    assert job["authOptions"] == {"mode": "token"}
