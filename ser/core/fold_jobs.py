"""Work in resumable units. Each (repeat, fold) of a stage is finished into a folder of its own; a stage that was
stopped goes on with the units that are missing."""

import hashlib
import json
import tempfile
from pathlib import Path

from ser.core import ranks
from ser.core.atomic import remove, replacing
from ser.core.errors import InputError
from ser.core.stage import doing

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


def run(name, folds, work, settings, files, gather, together=False):
    """Call `work(fold, folder)` for every fold not finished before, then `gather(folders)`, in order of `folds`, which
    writes the stage's outputs.

    A unit counts as finished when its folder is complete; folders made from other settings, inputs or code are not
    used, and all are removed once the outputs are written. Processes that share the folder share the work (ser.ranks);
    ranks leave gathering to a plain run. `together` says that `work` can be done by all ranks of `accelerate launch`.
    """
    together = together and ranks.together()
    if ranks.launched() and not together:
        ranks.supervise()
    place = ROOT / name / fingerprint(settings, files)
    place.mkdir(parents=True, exist_ok=True)
    units = [(fold, place / fold.name) for fold in folds]
    if before := sum(folder.exists() for _, folder in units):
        print(f"{name}: going on, {before} of {len(folds)} folds were finished before")
    if together:
        return _all_ranks_at_once(name, units, work)
    status = ranks.launch() if before < len(units) and not ranks.launched() else 0
    if status and (missing := [folder.name for _, folder in units if not folder.exists()]):
        raise InputError(
            f"{ranks.LAUNCH}: it ended with status {status} and without folds {', '.join(missing)}; run the same "
            "command again, the others are kept"
        )
    for wait in [False] if ranks.launched() else [False, True]:
        for number, (fold, folder) in enumerate(units, 1):
            with ranks.claim(folder.with_suffix(".lock"), wait) as mine, doing(f"{name}, {number} of {len(units)}"):
                if mine and not folder.exists():
                    _finish(fold, folder, work)
    if not ranks.launched():
        gather([folder for _, folder in units])
        remove(ROOT / name)


def _finish(fold, folder, work):
    with replacing(folder) as temporary:
        temporary.mkdir()
        work(fold, temporary)


def _all_ranks_at_once(name, units, work):
    missing = [(fold, folder) for fold, folder in units if not folder.exists()]
    ranks.barrier()
    for number, (fold, folder) in enumerate(missing, 1):
        with doing(f"{name}, {number} of {len(missing)}"):
            if ranks.is_first():
                _finish(fold, folder, work)
            else:
                with tempfile.TemporaryDirectory() as elsewhere:
                    work(fold, Path(elsewhere))
        ranks.barrier()
