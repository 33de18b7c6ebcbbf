import re
import subprocess

import pytest
import yaml

from benchmarks import measured, scheduler
from benchmarks import run as bench
from scripts import leakage_figure, licences, results
from ser.reporting import figures
from tests.helpers.project import ROOT
from tests.stress import run as stress


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def blocks(language):
    text = (ROOT / "docs/scale.md").read_text()
    return [part.split("```")[0] for part in text.split(f"```{language}\n")[1:]]


def test_the_tables_of_performance_are_those_of_the_results():
    shown = bench.DOCUMENT.read_text().partition(measured.BEGIN)[2].partition(measured.END)[0]
    assert shown == bench.tables(bench.load())
    assert set(bench.load()) == {*bench.NAMES, "study"}


def test_the_tables_of_reliability_are_those_of_the_results():
    shown = stress.DOCUMENT.read_text().partition(measured.BEGIN)[2].partition(measured.END)[0]
    assert shown == stress.tables(stress.load())
    assert set(stress.load()["properties"]["drawn"]) == {
        "tests/test_splits.py::test_no_fold_leaks",
        "tests/test_splits.py::test_a_planted_leak_is_refused",
        "tests/test_scores.py::test_metrics_agree_with_scikit_learn",
    }


@pytest.mark.parametrize("document", results.DOCUMENTS, ids=str)
def test_the_tables_of_the_results_are_those_of_the_committed_metrics(document):
    assert document.read_text() == results.filled(document, results.contents(*results.load()))


def test_all_results_are_shown():
    shown = {match[2] for match in results.MARK.finditer(results.DOCUMENTS[1].read_text())}
    assert shown == set(results.contents(*results.load()))


def test_the_picture_of_the_leakage_is_that_of_the_committed_metrics(tmp_path):
    default, _, experiments, *_ = results.load()
    figures.save(leakage_figure.picture(default, experiments["random_split"]), tmp_path / "leakage.png")
    assert (tmp_path / "leakage.png").read_bytes() == results.PICTURE.read_bytes()


def test_pictures_and_files_named_in_the_results_exist():
    for path in re.findall(r"\]\((\.\./[^)#]+)", results.DOCUMENTS[1].read_text()):
        assert (ROOT / "docs" / path).is_file(), path


def test_licences_of_all_that_is_used_directly_are_listed():
    table = (ROOT / licences.DOCUMENT).read_text().partition("| package |")[2]
    rows = dict(line.strip("| ").split(" | ") for line in table.splitlines()[2:])
    assert list(rows) == licences.packages() and all(rows.values())


def test_shell_in_the_guide_to_scale_parses():
    for script in blocks("bash"):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_manifests_in_the_guide_to_scale_parse():
    (manifest,) = blocks("yaml")
    service, job = yaml.safe_load_all(manifest)
    assert job["kind"] == "Job" and job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]


@pytest.mark.parametrize("policy", [scheduler.claimed, scheduler.dealt, scheduler.all_start_anew])
def test_equal_units_without_losses_fill_the_ranks(policy, monkeypatch):
    monkeypatch.setattr(scheduler, "SPREAD", 0)
    assert scheduler.efficiency(policy, 64, 8, 0, seed=0) == pytest.approx(1)
    assert scheduler.efficiency(policy, 5, 2, 0, seed=0) == pytest.approx(5 / 6)


def test_claiming_loses_less_than_starting_all_anew():
    claimed, anew = (
        scheduler.efficiency(policy, 100, 8, 0.05, seed=0) for policy in (scheduler.claimed, scheduler.all_start_anew)
    )
    assert anew < claimed < 1
