"""Experiments as people run them: change a knob, run, compare, plot, apply, share; queue a sweep and read it."""

import json
import re
import shutil
from pathlib import Path

import pytest

from app import artifacts
from ser.core import params
from ser.core.errors import InputError
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
    assert set(re.findall(r"Running stage '([^']+)'", ran)) == {
        "train@masked",
        "compare",
        "overview@diffusion",
        "adapt",
        "card",
    }
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
    assert params.load(work / "params.yaml")["augmentation"]["masked"]["time_mask"] == 0.3

    call("dvc", "exp", "push", "origin", "wider", cwd=work)
    assert "wider" in call("dvc", "exp", "list", "origin", "--all-commits", cwd=work)
    colleague = work.parent / "colleague"
    call("git", "clone", "-q", work.parent / "origin.git", colleague, cwd=work.parent)
    call("dvc", "exp", "pull", "origin", "wider", cwd=colleague)
    assert "wider" in call("dvc", "exp", "show", "--csv", cwd=colleague)
    call("dvc", "exp", "branch", "wider", "wider", cwd=colleague)
    call("git", "switch", "wider", cwd=colleague)
    call("dvc", "checkout", "--allow-missing", cwd=colleague)
    assert params.load(colleague / "params.yaml")["augmentation"]["masked"]["time_mask"] == 0.3
    assert (colleague / "metrics/compare.json").read_text() != before
    assert (colleague / "models/arms/masked.safetensors").exists()


def test_a_clone_with_line_ends_of_windows_has_no_changes(project, tmp_path):
    call("git", "clone", "-q", "-c", "core.autocrlf=true", project, tmp_path / "clone", cwd=tmp_path)
    assert call("git", "status", "--porcelain", cwd=tmp_path / "clone") == ""
    for name in call("git", "ls-files", cwd=project).splitlines():
        assert (tmp_path / "clone" / name).read_bytes() == (project / name).read_bytes(), name
    changed = json.loads(call("dvc", "status", "--json", cwd=tmp_path / "clone"))
    states = [dep for causes in changed.values() for cause in causes for dep in cause.get("changed deps", {}).items()]
    assert states and all(state == "deleted" for _, state in states), "data alone is not there"


def test_the_app_advises_what_works_without_a_remote(project, tmp_path, monkeypatch):
    """Where `dvc pull --allow-missing` fetches nothing and does not say so."""
    call("git", "clone", "-q", project, tmp_path / "elsewhere/clone", cwd=tmp_path)
    assert "up to date" in call("dvc", "pull", "--allow-missing", cwd=tmp_path / "elsewhere/clone")
    monkeypatch.chdir(tmp_path / "elsewhere/clone")
    assert artifacts.folder() == Path()  # where the exported model is
    assert Path("models/export/model.safetensors").exists()
    with pytest.raises(InputError) as error:
        artifacts.folder("HEAD")
    made, fetched = str(error.value).split("; ")[-2:]
    assert "`make demo`" in made and "`dvc repro`" in made
    assert fetched == "`dvc pull` fetches them only from a remote that you can reach (docs/remotes.md)"


def test_a_sweep_is_queued_run_and_read(work):
    call("dvc", "exp", "run", "--queue", "-S", f"{KNOB}=0.15,0.25", cwd=work)
    assert call("dvc", "queue", "status", cwd=work).count("Queued") == 2
    call("dvc", "exp", "run", "--run-all", cwd=work)
    table = json.loads(call("dvc", "exp", "show", "--json", cwd=work))
    runs = [row["data"] for line in table[1]["experiments"] for row in line["revs"]]
    assert {row["params"]["params.yaml"]["data"]["augmentation"]["masked"]["time_mask"] for row in runs} == {0.15, 0.25}
    assert all(row["metrics"]["metrics/compare.json"]["data"]["masked"]["ua"] > 0 for row in runs)
