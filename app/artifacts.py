"""The files that the app shows: those of the workspace, or of an experiment or commit, fetched from DVC's cache."""

import json
from pathlib import Path

from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.scm import SCMError

from ser.core.atomic import replacing
from ser.core.errors import InputError
from ser.core.stage import progress
from ser.models.exported import FOLDER

SHOWN = (
    "params.yaml",
    "metrics",
    "plots",
    "models/export",
    "models/generators",
    "data/catalogue.csv",
    "data/splits.csv",
    "data/mels",
    "data/embeddings.json",
    "data/embeddings.safetensors",
    "data/synthetic",
    "data/listen",
)
FETCHED = Path("data/app")


def folder(revision=None):
    """The folder to run the app in. Without a revision the workspace, where it has a model, else the experiment `demo`.

    Raises InputError where a revision is unknown, has no model, or its files are not in the cache.
    """
    if revision is None:
        if Path(FOLDER, "model.json").exists():
            return Path()
        revision = "demo"
    return fetch(revision)


def fetch(revision):
    place = FETCHED / revision.replace("/", "-")
    try:
        files = DVCFileSystem(rev=revision)
        digest = files.repo.get_rev()
        if (place / "revision.json").exists() and json.loads((place / "revision.json").read_text()) == digest:
            return place
        if not files.exists(FOLDER):
            raise InputError(f"`{revision}` has no {FOLDER}: it is from before there was an exported model")
        with replacing(place) as temporary:
            for path in progress(SHOWN, f"fetch {revision}", "output"):
                if files.exists(path):
                    files.get(path, str(temporary / path), recursive=True)
            (temporary / "revision.json").write_text(json.dumps(digest))
    except (SCMError, DvcException, OSError) as error:
        raise InputError(
            f"no artifacts of `{revision}` ({error}); make those of the demo with `make demo`, or the real ones with "
            "`dvc repro` or `dvc pull --allow-missing`"
        ) from None
    return place
