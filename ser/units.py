"""Work in resumable units. Each (repeat, fold) of a stage is finished into a folder of its own; a stage that was
stopped goes on with the units that are missing."""

import hashlib
import json
import shutil
from pathlib import Path

from ser.errors import InputError
from ser.runtime import progress, replacing

ROOT = Path("data/units")


def fingerprint(settings, files):
    """Identify what a unit is made from: its settings, the input files, our code and its requirements."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=_plain).encode())
    code = [path for folder in ("ser", "stages") for path in sorted(Path(folder).rglob("*.py"))]
    for path in [*code, *Path().glob("requirements.txt"), *map(Path, files)]:
        try:
            with path.open("rb") as file:
                digest.update(f"{path}:{hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
        except FileNotFoundError:
            raise InputError(f"{path} is missing; run `dvc repro` to make it, or `dvc pull`") from None
    return digest.hexdigest()[:16]


def _plain(section):
    return section.model_dump()


def finish(name, folds, work, settings, files):
    """Call `work(fold, folder)` for every fold not finished before and return all folders, in order of `folds`.

    A unit counts as finished when its folder is complete; folders made from other settings, inputs or code are not
    used. `discard(name)` removes them once the stage has written its outputs.
    """
    place = ROOT / name / fingerprint(settings, files)
    folders = [place / fold.name for fold in folds]
    if before := sum(folder.exists() for folder in folders):
        print(f"{name}: going on, {before} of {len(folds)} folds were finished before")
    for fold, folder in progress(list(zip(folds, folders, strict=True)), name, "fold"):
        if not folder.exists():
            with replacing(folder) as temporary:
                temporary.mkdir()
                work(fold, temporary)
    return folders


def discard(name):
    shutil.rmtree(ROOT / name, ignore_errors=True)
