"""Experiments as people run them: change a knob, run, compare, plot, apply, share; queue a sweep and read it."""

import json
import re
import shutil

import pytest
import yaml

from tests.helpers.project import call

KNOB = "augmentation.masked.time_mask"


@pytest.fixture
def work(project, tmp_path):
    """A clone of the finished project, whose recordings are where they were, next to a bare Git repository."""
    call("git", "clone", "-q", "--bare", project, tmp_path / "origin.git", cwd=tmp_path)
    call("git", "clone", "-q", tmp_path / "origin.git", tmp_path / "work", cwd=tmp_path)
    call("dvc", "cache", "dir", "--local", project / ".dvc/cache", cwd=tmp_path / "work")
    call("dvc", "checkout", cwd=tmp_path / "work")
    for key in ("user.name", "user.email"):
        call("git", "config", key, "test", cwd=tmp_path / "work")
    return tmp_path / "work"


def test_change_run_compare_plot_apply_and_share(work):
    before = (work / "metrics/compare.json").read_text()
    ran = call("dvc", "exp", "run", "--temp", "-n", "wider", "-S", f"{KNOB}=0.3", cwd=work)
    assert set(re.findall(r"Running stage '([^']+)'", ran)) == {"train@masked", "compare", "card"}
    assert (work / "metrics/compare.json").read_text() == before

    shown = call("dvc", "exp", "show", "--csv", "--only-changed", cwd=work)
    assert KNOB in shown and "wider" in shown
    compared = json.loads(call("dvc", "exp", "diff", "--json", "HEAD", "wider", cwd=work))
    assert compared["params"]["params.yaml"][KNOB] == {"old": 0.1, "new": 0.3, "diff": pytest.approx(0.2)}
    assert any(name.startswith("masked.") for name in compared["metrics"]["metrics/compare.json"])
    call("dvc", "plots", "diff", "HEAD", "wider", "-o", "drawn", cwd=work)
    assert "wider" in (work / "drawn/index.html").read_text()
    shutil.rmtree(work / "drawn")

    call("dvc", "exp", "apply", "wider", cwd=work)
    assert yaml.safe_load((work / "params.yaml").read_text())["augmentation"]["masked"]["time_mask"] == 0.3

    call("dvc", "exp", "push", "origin", "wider", cwd=work)
    assert "wider" in call("dvc", "exp", "list", "origin", "--all-commits", cwd=work)
    colleague = work.parent / "colleague"
    call("git", "clone", "-q", work.parent / "origin.git", colleague, cwd=work.parent)
    call("dvc", "exp", "pull", "origin", "wider", cwd=colleague)
    assert "wider" in call("dvc", "exp", "show", "--csv", cwd=colleague)
    call("dvc", "exp", "branch", "wider", "wider", cwd=colleague)
    call("git", "switch", "wider", cwd=colleague)
    call("dvc", "checkout", "--allow-missing", cwd=colleague)
    assert yaml.safe_load((colleague / "params.yaml").read_text())["augmentation"]["masked"]["time_mask"] == 0.3
    assert (colleague / "metrics/compare.json").read_text() != before
    assert (colleague / "models/arms/masked.safetensors").exists()


def test_a_sweep_is_queued_run_and_read(work):
    call("dvc", "exp", "run", "--queue", "-S", f"{KNOB}=0.15,0.25", cwd=work)
    assert call("dvc", "queue", "status", cwd=work).count("Queued") == 2
    call("dvc", "exp", "run", "--run-all", cwd=work)
    table = json.loads(call("dvc", "exp", "show", "--json", cwd=work))
    runs = [row["data"] for line in table[1]["experiments"] for row in line["revs"]]
    assert {row["params"]["params.yaml"]["data"]["augmentation"]["masked"]["time_mask"] for row in runs} == {0.15, 0.25}
    assert all(row["metrics"]["metrics/compare.json"]["data"]["masked"]["ua"] > 0 for row in runs)
