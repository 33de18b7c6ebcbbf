"""Runs of experiments by DVC in a copy of the clone, next to the workspace."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides

from scripts.overrides import flattened
from ser.core import preconditions
from ser.core.errors import InputError

# Who commits an experiment where Git does not know the user.
NOBODY = {"user.name": "ser", "user.email": "ser@localhost"}


def overrides(changes: dict[str, Any]) -> list[str]:
    """Return `changes` to params.yaml as DVC's option -S takes them."""
    # ++: policies in params.yaml leave out knobs that are off
    return [f"++{key}={json.dumps(value)}" for key, value in flattened(changes)]


def run(name: str, changes: dict[str, Any], *stages: str) -> None:
    """Run the graph with `changes` to params.yaml, and keep it as the DVC experiment `name`.

    It runs in a copy of the clone, with changes of tracked files that are not committed, and by `ser run`, which does
    two stages at a time where `dvc exp run --temp` does one. With `stages` no more is run than they need. An earlier
    experiment of that name is replaced; what it shares with this one comes back from DVC's cache, as do finished stages
    of a run that was stopped. Where a stage fails, the logs are left in logs/NAME. SIGTERM ends the stages first.

    Raises InputError where DVC would not keep the experiment, and where Git has a branch or a tag of that name, which
    DVC would read in its place.
    """
    root = Path.cwd()
    preconditions.check_clone(root)
    for kind in ("heads", "tags"):
        if not _git(root, "show-ref", "--quiet", "--verify", f"refs/{kind}/{name}", check=False).returncode:
            raise InputError(f"Git has a branch or a tag `{name}`, which hides an experiment of that name; rename it")
    copies = root / ".dvc/tmp/copies"  # on the disk of the cache, as a rule
    copies.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=copies, ignore_cleanup_errors=True) as place:
        folder = _copy(root, Path(place, "clone"))
        apply_overrides(folder / "params.yaml", overrides(changes))
        if status := _ser_run(folder, stages):
            _keep_logs(folder / "logs", Path("logs", name))
            sys.exit(status)
        _git(folder, "add", "--all")
        _dvc(folder, "exp", "save", "--force", "--name", name, *stages)
        for ref in _experiments(root, name):
            _git(root, "update-ref", "-d", ref)
        (ref,) = _experiments(folder, name)
        _git(root, "fetch", "--quiet", str(folder), f"{ref}:{ref}")


def _copy(root: Path, folder: Path) -> Path:
    """Clone `root` to `folder`, with its cache, its local settings of DVC and changes that are not committed."""
    _git(root, "clone", "--quiet", "--shared", str(root), str(folder))
    for key, name in NOBODY.items():
        _git(folder, "config", key, _git(root, "config", key, check=False).stdout.strip() or name)
    nobody = chain.from_iterable(("-c", f"{key}={name}") for key, name in NOBODY.items())
    if uncommitted := _git(root, *nobody, "stash", "create").stdout.strip():
        _git(folder, "read-tree", "--reset", "-u", uncommitted)
        _git(folder, "reset", "--quiet")
    with suppress(FileNotFoundError):
        shutil.copy(root / ".dvc/config.local", folder / ".dvc")
    with Repo(str(root)) as repo:
        _dvc(folder, "cache", "dir", "--quiet", "--local", repo.cache.local_cache_dir)
    _dvc(folder, "checkout", "--quiet", "--allow-missing", check=False)  # what was pulled is not made again
    return folder


def _ser_run(folder: Path, stages: Sequence[str]) -> int:
    """The status of `ser run`, to which SIGTERM is passed on, so that it can end its stages."""
    running = subprocess.Popen([sys.executable, "-m", "ser", "run", *stages], cwd=folder)
    before = signal.signal(signal.SIGTERM, lambda *_: running.terminate())
    try:
        return running.wait()
    finally:
        running.wait()  # after Ctrl-C, which it got as well
        signal.signal(signal.SIGTERM, before)


def _keep_logs(logs: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    if logs.exists():
        shutil.copytree(logs, place)
        print(f"error: the logs are in {place}", file=sys.stderr)


def _experiments(clone: Path, name: str) -> list[str]:
    """The refs of all experiments of that name, whatever commit they started from."""
    refs = _git(clone, "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
    return [ref for ref in refs if ref.rpartition("/")[2] == name]


def _git(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return _call(["git", *command], folder, check)


def _dvc(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return _call([sys.executable, "-m", "dvc", *command], folder, check)


def _call(command: Sequence[str], folder: Path, check: bool) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if check and ended.returncode:
        raise InputError(
            f"`{' '.join(command)}` failed in {folder}: {ended.stderr.strip()}; what was run is in DVC's cache, so "
            "that once the cause is found the same command only collects it"
        )
    return ended
