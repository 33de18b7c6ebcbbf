"""A run of DVC as one line of progress."""

import os
import sys

import pytest

from scripts import watched

OUTPUT = """
Stage 'split' didn't change, skipping
Running stage 'train@baseline':
> python -m stages.train baseline
WARNING: 'data' is empty.
Running stage 'compare':
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(status, output=OUTPUT, total=3):
        code = f"import sys; print({output!r}); sys.exit({status})"
        return watched.run([sys.executable, "-c", code], os.environ, "toy", total)

    return run


def test_stages_are_counted_and_noise_goes_to_the_log(run, tmp_path, capsys):
    assert run(0) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines() == [
        "toy: stage 1 of 3, split",
        "toy: stage 2 of 3, train@baseline",
        "toy: stage 3 of 3, compare",
    ]
    assert "WARNING: 'data' is empty." in (tmp_path / "logs/toy.log").read_text()


def test_a_run_of_unknown_length_counts_as_well(run, capsys):
    assert run(0, total=None) == 0
    assert "toy: stage 3, compare\n" in capsys.readouterr().out


def test_a_failure_shows_the_end_of_the_log(run, capsys):
    assert run(7, OUTPUT + "error: no such corpus") == 7
    printed = capsys.readouterr().out
    assert printed.endswith("error: no such corpus\nerror: see logs/toy.log\n")
