"""Stages under a few faults; `make stress` tries every fault in every stage."""

import random
import shutil

import pytest

from tests.stress import faults


@pytest.fixture(scope="module")
def struck(project, tmp_path_factory):
    """A copy of the finished project, to be harmed."""
    return shutil.copytree(project, tmp_path_factory.mktemp("struck") / "project", symlinks=True)


@pytest.mark.parametrize(
    ("stage", "fault", "said"),
    [
        ("train@baseline", "killed at a change of a file", ""),
        ("cache_mels", "terminated with DVC at a moment", ""),
        ("gallery@diffusion", "disk full in the middle of a file", "error: no space left on the disk"),
        ("compare", "disk full from a change of a file on", "error: no space left on the disk"),
        ("sample@diffusion", "out of memory at a change of a file", "error: out of memory"),
    ],
)
def test_a_fault_is_reported_and_the_next_run_leaves_what_an_undisturbed_one_does(struck, stage, fault, said):
    case = faults.strike(struck, stage, fault, random.Random(0), {"changes": 3, "seconds": 0.5})
    assert case["struck"] and faults.survived(case), case
    assert case["said"].startswith(said)


@pytest.mark.parametrize("path", ["dvc.lock", ".dvc/tmp/rwlock"])
def test_a_file_of_dvc_that_was_cut_off_is_repaired_as_documented(struck, path):
    expected = faults.contents(struck)
    (struck / path).write_bytes(b"")
    case = faults.recovery(struck, expected)
    assert faults.survived(case) and case["remedy"] == path, case
