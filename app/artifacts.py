"""The files that the app shows: those of the workspace, or of an experiment or commit, taken from DVC's cache."""

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
PICTURES = {
    "UA of each arm": "plots/ua.png",
    "Recall of each emotion": "plots/recall.png",
    "Confusion of emotions": "plots/confusion.png",
    "Calibration": "plots/calibration.png",
    "Training loss": "plots/learning_curves.png",
    "Quality of the generated clips": "plots/quality.png",
    "Enhanced test clips": "plots/enhanced.png",
    "Generators as classifiers": "plots/fused.png",
}
FETCHED = Path("data/app")


def folder(revision: str | None = None) -> Path:
    """The folder to run the app in: the workspace, or one with the files of a revision (see `fetch`)."""
    return fetch(revision) if revision else Path()


def fetch(revision: str) -> Path:
    """The folder with the files of a revision, which are copied there unless they are there already.

    Raises InputError where a revision is unknown, has no model, or its files are not in the cache.
    """
    destination = FETCHED / revision.replace("/", "-")
    try:
        files = DVCFileSystem(rev=revision)
        digest = files.repo.get_rev()
        marker = destination / "revision.json"
        if marker.exists() and json.loads(marker.read_text()) == digest:
            return destination
        if not files.exists(FOLDER):
            raise InputError(f"`{revision}` has no {FOLDER}: it is older than the stage `export`")
        with replacing(destination) as temporary:
            for path in progress(SHOWN, f"fetch {revision}", "output"):
                if files.exists(path):
                    files.get(path, str(temporary / path), recursive=True)
            (temporary / marker.name).write_text(json.dumps(digest))
    except (SCMError, DvcException, OSError) as error:
        raise InputError(
            f"no artifacts of `{revision}` ({error}); make those of the demo with `make demo`, or those of the study "
            "with `dvc repro`; `dvc pull` fetches them only from a remote that you can reach (docs/remotes.md)"
        ) from None
    return destination
