"""Fold jobs: what a stage does for every fold, resumable.

The result of each (repeat, fold) is finished into a folder of its own; a stage that was stopped goes on with the folds
that are missing.
"""

import hashlib
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from ser.core import params, processes, sources
from ser.core.atomic import remove, replacing
from ser.core.device import setup_torch
from ser.core.errors import InputError
from ser.core.fold import Fold
from ser.core.stage import doing

ROOT = Path("data/fold_jobs")


class FoldJob(ABC):
    """The work of one stage, fold by fold, and everything that its result depends on.

    A subclass declares in its `__init__` what it is made from, once: parameters by reading them with `read`, files in
    `inputs`, and modules that are chosen at run time in `modules`. The fingerprint of unfinished work and the test of
    dvc.yaml both take them from here.
    """

    def __init__(self, name: str) -> None:
        self.name = name  # of the folder of finished folds, below ROOT
        self.params: dict[str, Any] = {}  # key of params.yaml -> value
        self.inputs: list[str] = []  # files
        self.modules = [_module_name(type(self))]

    def read(self, key: str, kind: Any) -> Any:
        """The value at a dotted `key` of params.yaml, validated as `kind`; from now on the result depends on it."""
        self.params[key] = params.read(key, kind)
        return self.params[key]

    @cached_property
    def device(self) -> torch.device:
        return setup_torch()

    @property
    @abstractmethod
    def folds(self) -> Sequence[Fold]:
        """The folds, in the order in which they are gathered."""

    @abstractmethod
    def run(self, fold: Fold, folder: Path) -> None:
        """Write the result of one fold into the empty `folder`."""

    @abstractmethod
    def gather(self, folders: list[Path]) -> None:
        """Write the stage's outputs from the folders of all folds, in order of `folds`."""

    def fingerprint(self) -> str:
        """Identifies what a fold's result is made from: parameters, input files, code and pinned requirements.

        Raises InputError for an input file that is missing.
        """
        digest = hashlib.sha256(json.dumps(self.params, sort_keys=True, default=_plain).encode())
        code = sorted(sources.imported(*self.modules))
        for path in [*code, *Path().glob("requirements.txt"), *map(Path, self.inputs)]:
            try:
                with path.open("rb") as file:
                    digest.update(f"{path}:{hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
            except FileNotFoundError:
                raise InputError(f"{path} is missing; run `dvc repro` to make it, or `dvc pull`") from None
        return digest.hexdigest()[:16]


def _module_name(job: type) -> str:
    """The importable name of the module of a class, also where that module is run with `python -m`."""
    module = sys.modules[job.__module__]
    return module.__spec__.name if module.__spec__ else job.__module__


def _plain(config: BaseModel) -> dict[str, Any]:
    return config.model_dump()


def main(job: Callable[[str], FoldJob], argument: str, fold: str | None = None) -> None:
    """What the script of a stage does: run its job for every fold, or only finish the one named `fold` ("0-1")."""
    if fold is None:
        run(job(argument))
    else:
        finish(job(argument), fold)


def run(job: FoldJob) -> None:
    """Run `job` for every fold that is not finished yet, several at a time on the CPU, then gather the results.

    Folders made from other parameters, inputs or code are not used, and all are removed once the outputs are written.
    """
    folders = _folders(job)
    unfinished = [name for name, folder in folders.items() if not folder.exists()]
    if len(unfinished) < len(folders):
        print(f"{job.name}: going on, {len(folders) - len(unfinished)} of {len(folders)} folds were finished before")
    processes.for_each(partial(_finish, job, folders), unfinished, job.device)
    job.gather([*folders.values()])
    remove(ROOT / job.name)


def finish(job: FoldJob, name: str) -> None:
    """Run `job` for the fold of that name, unless it is finished; a later `run` gathers it.

    Raises InputError where there is no such fold.
    """
    folders = _folders(job)
    if name not in folders:
        raise InputError(f"{job.name} has no fold {name}; there are {', '.join(folders)}")
    processes.for_each(partial(_finish, job, folders), [name], job.device)


def missing(job: FoldJob) -> list[str]:
    """The names of the folds of `job` that are not finished."""
    return [name for name, folder in _folders(job).items() if not folder.exists()]


def _folders(job: FoldJob) -> dict[str, Path]:
    """Where the result of each fold belongs, by name, in order of the folds."""
    place = ROOT / job.name / job.fingerprint()
    return {fold.name: place / fold.name for fold in job.folds}


def _finish(job: FoldJob, folders: dict[str, Path], name: str) -> None:
    if folders[name].exists():
        return
    number = [*folders].index(name)
    with doing(f"{job.name}, {number + 1} of {len(folders)}"), replacing(folders[name]) as temporary:
        temporary.mkdir()
        job.run(job.folds[number], temporary)
