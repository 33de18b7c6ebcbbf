"""Fold jobs: what a stage does for every fold, resumable.

The result of each (repeat, fold) is finished into a folder of its own; a stage that was stopped goes on with the folds
that are missing.
"""

import hashlib
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from ser.core import params, ranks, sources
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


def run(job: FoldJob) -> None:
    """Run `job` for every fold that is not finished yet, then gather the results.

    Folders made from other parameters, inputs or code are not used, and all are removed once the outputs are written.
    Processes that share the folder share the work (ser.core.ranks); ranks leave gathering to a plain run.
    """
    if ranks.launched():
        ranks.supervise()
    place = ROOT / job.name / job.fingerprint()
    place.mkdir(parents=True, exist_ok=True)
    folders = [place / fold.name for fold in job.folds]
    if finished := sum(folder.exists() for folder in folders):
        print(f"{job.name}: going on, {finished} of {len(folders)} folds were finished before")
    status = ranks.launch() if finished < len(folders) and not ranks.launched() else 0
    if status and (missing := [folder.name for folder in folders if not folder.exists()]):
        raise InputError(
            f"{ranks.LAUNCH}: it ended with status {status} and without folds {', '.join(missing)}; run the same "
            "command again, the others are kept"
        )
    for wait in [False] if ranks.launched() else [False, True]:
        for number, (fold, folder) in enumerate(zip(job.folds, folders, strict=True), 1):
            with (
                ranks.claim(folder.with_suffix(".lock"), wait) as mine,
                doing(f"{job.name}, {number} of {len(folders)}"),
            ):
                if mine and not folder.exists():
                    with replacing(folder) as temporary:
                        temporary.mkdir()
                        job.run(fold, temporary)
    if not ranks.launched():
        job.gather(folders)
        remove(ROOT / job.name)
