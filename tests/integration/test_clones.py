"""Clones in which DVC keeps no experiments that it runs in a copy: what is said at once, and whether it helps."""

import re
import subprocess
from pathlib import Path

import pytest

from ser.core import preconditions
from ser.core.errors import InputError
from tests.helpers.project import ENVIRONMENT, ROOT, call, commit, copy_of_the_repository

GRAPH = """
stages:
  double:
    cmd: python step.py
    params: [seed]
    outs: [out.txt]
    metrics:
      - seed.json: {cache: false}
"""
STEP = """
from pathlib import Path
from ser.core.stage import stage

def main():
    seed = Path("params.yaml").read_text().split()[1]
    Path("seed.json").write_text('{"seed": %s}' % seed)
    Path("out.txt").write_text(seed)

stage(main)
"""


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A repository with a graph of one stage and a history of three commits, from which anything may be fetched."""
    folder = tmp_path_factory.mktemp("origin") / "origin"
    folder.mkdir()
    call("git", "init", "-q", "-b", "main", cwd=folder)
    call("git", "config", "uploadpack.allowFilter", "true", cwd=folder)
    call("dvc", "init", "-q", cwd=folder)
    (folder / "dvc.yaml").write_text(GRAPH)
    (folder / "step.py").write_text(STEP)
    for seed in range(3):
        (folder / "params.yaml").write_text(f"seed: {seed}\n")
        commit(folder)
    return folder


def clone(origin, folder, *options):
    call("git", "clone", "-q", *options, f"file://{origin}", folder, cwd=origin)
    return folder


def run(folder, *options):
    """Run an experiment with another seed; return what DVC printed, and the seed of its metrics if it was kept."""
    command = ["dvc", "exp", "run", "--name", "other", "-S", "seed=5", *options]
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT)}
    printed = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    kept = subprocess.run(
        ["python", "-c", "import dvc.api; print(dvc.api.read('seed.json', rev='other'))"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    return printed.stdout + printed.stderr, kept.stdout.strip()


def split(folder):
    call("git", "update-index", "--split-index", cwd=folder)


def sparse(folder):
    call("git", "sparse-checkout", "init", "--cone", "--sparse-index", cwd=folder)
    (folder / "more").mkdir()
    (folder / "more" / "file").touch()
    call("git", "add", "--sparse", "more", cwd=folder)
    commit(folder)
    call("git", "sparse-checkout", "set", ".dvc", cwd=folder)


@pytest.mark.parametrize(
    ("name", "options", "prepare", "message"),
    [
        ("shallow", ["--depth", "1"], None, "it is shallow .*; complete it with"),
        ("treeless", ["--filter=tree:0"], None, "its history is partial .*; complete it with"),
        ("blobless", ["--filter=blob:none"], None, "its history is partial .*; complete it with"),
        ("split", [], split, "its index is split, .*; join it with"),
        ("sparse", [], sparse, "its index is sparse, .*; expand it with"),
        ("Übung äöü", [], None, "the path of its cache, .*/Übung äöü/.dvc/cache, has letters beyond ASCII"),
    ],
)
def test_what_dvc_does_not_keep_is_refused_and_the_remedy_helps(name, options, prepare, message, origin, tmp_path):
    folder = clone(origin, tmp_path / name, *options)
    if prepare:
        prepare(folder)
    with pytest.raises(InputError, match=f"^DVC cannot keep experiments .*: {message}") as error:
        preconditions.check_clone(folder)
    assert "\n" not in str(error.value)
    assert not run(folder, "--temp")[1], "DVC keeps it: the check is not needed any more"

    remedy = re.findall(r"`([^`]*)`", str(error.value))[-1].replace("FOLDER", str(tmp_path / "cache"))
    call("bash", "-c", remedy, cwd=folder)
    preconditions.check_clone(folder)
    printed, kept = run(folder, "--temp")
    assert kept == '{"seed": 5}', printed


@pytest.mark.parametrize("name", ["a#b", "a?b", "{a}", "a\tb", "50%20off"])
def test_a_path_that_dvc_misreads_is_refused(name, origin, tmp_path):
    folder = clone(origin, tmp_path / "clone").rename(tmp_path / name)
    with pytest.raises(InputError, match=r"^DVC cannot keep experiments .* path, .*; move the clone$"):
        preconditions.check_clone(folder)
    assert not run(folder, "--temp")[1], "DVC keeps it: the check is not needed any more"


@pytest.mark.parametrize("name", ["100 % sure", 'it\'s, "so" [to] $say & done'])
def test_a_path_that_dvc_reads_is_not_refused(name, origin, tmp_path):
    folder = clone(origin, tmp_path / "clone").rename(tmp_path / name)
    preconditions.check_clone(folder)
    printed, kept = run(folder, "--temp")
    assert kept == '{"seed": 5}', printed


def detached(folder):
    call("git", "checkout", "-q", "--detach", cwd=folder)
    return folder


def worktree(folder):
    call("git", "worktree", "add", "-q", folder.parent / "worktree", cwd=folder)
    return folder.parent / "worktree"


def with_changes(folder):
    (folder / "step.py").write_text(STEP + "# staged\n")
    call("git", "add", "step.py", cwd=folder)
    (folder / "step.py").write_text(STEP + "# not staged\n")
    return folder


@pytest.mark.parametrize("prepare", [detached, worktree, with_changes])
def test_other_clones_keep_their_experiments(prepare, origin, tmp_path):
    folder = prepare(clone(origin, tmp_path / "clone"))
    preconditions.check_clone(folder)
    printed, kept = run(folder, "--temp")
    assert kept == '{"seed": 5}', printed


def test_a_copy_of_a_shallow_clone_is_refused_by_its_first_stage(origin, tmp_path):
    """For those who call `dvc exp run --temp` or `--queue` themselves."""
    folder = clone(origin, tmp_path / "clone", "--depth", "1")
    assert "error: DVC cannot keep experiments" in run(folder, "--temp")[0]
    run(folder, "--queue")
    subprocess.run(["dvc", "exp", "run", "--run-all"], cwd=folder, env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)})
    logs = call("dvc", "queue", "logs", "other", cwd=folder)
    assert "it is shallow (`git clone --depth`); complete it with `git fetch --unshallow`" in logs
    assert "Failed" in call("dvc", "queue", "status", cwd=folder)


def test_a_shallow_clone_is_good_for_runs_in_the_workspace(origin, tmp_path):
    folder = clone(origin, tmp_path / "clone", "--depth", "1")
    assert "Running stage 'double'" in call("dvc", "repro", cwd=folder, PYTHONPATH=str(ROOT))
    assert run(folder)[1] == '{"seed": 5}'


def test_a_named_experiment_says_it_before_anything_runs(tmp_path):
    """As does `make demo`, which is one."""
    folder = clone(copy_of_the_repository(tmp_path / "first"), tmp_path / "clone", "--depth", "1")
    command = ["python", "-m", "scripts.experiment", "demo"]
    completed = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert completed.returncode == 1 and completed.stdout == ""
    assert completed.stderr == (
        "error: DVC cannot keep experiments that are run in a copy of this clone: it is shallow (`git clone --depth`); "
        "complete it with `git fetch --unshallow`\n"
    )
    assert not Path(folder, ".dvc/tmp/exps").exists() and not Path(folder, "data").exists()
