"""What a clone must be like for DVC to keep the experiments that are run in a copy of it.

These are `dvc exp run --temp` and `--queue`, and those of scripts/named.py.

Otherwise DVC runs every stage and keeps nothing, without an error, or gives up with a message that names no remedy.
A run in the workspace (`dvc repro`, `dvc exp run`) needs none of this.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ser.core.errors import InputError

COPIES = (".dvc", "tmp", "exps")  # where DVC puts the copies, in the clone
ESCAPE = re.compile(r"%[0-9a-fA-F]{2}")
SPECIAL = re.compile(r"[#?{}\x00-\x1f]")  # in an address, and in the title of a progress bar


def check_clone(root: Path) -> None:
    """Raise InputError where DVC would not keep an experiment that is run in a copy of the clone `root`."""
    for reasons in (_no_clone, _lost, _given_up):
        _refuse(reasons(root))


def check_copy(folder: Path) -> None:
    """Raise InputError where `folder` is in a copy that DVC made of a clone whose experiments it would not keep."""
    for parent in folder.parents:
        if parent.parts[-len(COPIES) :] == COPIES:
            _refuse(_lost(parent.parents[len(COPIES) - 1]))


def _refuse(reasons: Iterator[str]) -> None:
    for reason in reasons:
        raise InputError(f"DVC cannot keep experiments that are run in a copy of this clone: {reason}")


def _no_clone(root: Path) -> Iterator[str]:
    """Why Git itself refuses: no repository, or one of another owner."""
    asked = _git(root, "rev-parse", "--git-dir")
    if asked.returncode:
        yield " ".join(asked.stderr.split())


def _lost(root: Path) -> Iterator[str]:
    """Why every stage would run and the result be lost."""
    if _answer(root, "rev-parse", "--is-shallow-repository") == "true":
        yield "it is shallow (`git clone --depth`); complete it with `git fetch --unshallow`"
    if ESCAPE.search(str(root)):
        yield f"its path, {root}, has a `%` before two digits, which DVC takes for an escape; move the clone"


def _given_up(root: Path) -> Iterator[str]:
    """Why DVC would give up before the first stage."""
    from dvc.repo import Repo

    if SPECIAL.search(str(root)):
        yield f"DVC cannot read its path, {str(root)!r}, with a `#`, `?`, brace or control character; move the clone"
    if _answer(root, "rev-parse", "--shared-index-path"):
        yield (
            "its index is split, which DVC cannot read; join it with "
            "`git config core.splitIndex false && git update-index --no-split-index`"
        )
    if _answer(root, "config", "--type=bool", "index.sparse") == "true":
        yield (
            "its index is sparse, which DVC cannot read; expand it with `git sparse-checkout reapply --no-sparse-index`"
        )
    for setting in _answer(root, "config", "--name-only", "--get-regexp", r"^remote\..*\.partialclonefilter$").split():
        yield (
            "its history is partial (`git clone --filter`); "
            f"complete it with `git config --unset {setting} && git fetch --refetch {setting.split('.')[1]}`"
        )
    with Repo(str(root)) as repo:
        cache, local = repo.cache.local_cache_dir, repo.config.read("local")
    if not cache.isascii():
        yield (
            f"the path of its cache, {cache}, has letters beyond ASCII, which DVC cannot write; move the clone, "
            "or its cache: `dvc cache dir --local FOLDER`"
        )
    if not str(local).isascii():
        yield ".dvc/config.local has letters beyond ASCII, which DVC cannot write; write those settings without them"


def _answer(root: Path, *command: str) -> str:
    """What a Git command prints; nothing where it fails, as for a setting that is not there."""
    return _git(root, *command).stdout.strip()


def _git(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, check=False)
