import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a core for each worker; read when torch is imported

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from xdist.scheduler import LoadFileScheduling

from ser.core.atomic import replacing
from ser.data import manifest, mel_store, splits
from ser.data.dataset import load_dataset
from ser.reporting import tables
from tests.helpers.project import ROOT, WITNESS, commit, copy_of_the_repository, repro

EMOTIONS = ["anger", "neutral", "sadness"]
MORE = int(os.environ.get("SER_EXAMPLES", 1))  # times as many random cases; see tests/stress/properties.py
# Files that use the fixture `project`, by far the slowest, in two groups.
GROUPS = {
    "tests/integration/test_app.py": 0,
    "tests/integration/test_pipeline.py": 0,
    "tests/integration/test_report.py": 0,
    "tests/integration/test_sharing.py": 1,
    "tests/integration/test_two_at_once.py": 1,
    "tests/stress/test_faults.py": 1,
}


class ByFile(LoadFileScheduling):
    """A file's tests go to one worker; those of all files of a group too, which share one project."""

    def _split_scope(self, nodeid):
        file = super()._split_scope(nodeid)
        return f"group {GROUPS[file]}" if file in GROUPS else file


def pytest_xdist_make_scheduler(config, log):
    return ByFile(config, log)


@pytest.fixture(scope="session")
def mirror(tmp_path_factory):
    """A folder that holds the real emodb/ and ravdess/, or a skip.

    Taken from SER_MIRROR, or rebuilt from a packed copy beside the repository where there is one.
    """
    corpora = ("emodb", "ravdess")
    if "SER_MIRROR" in os.environ:
        folder = Path(os.environ["SER_MIRROR"]).absolute()
    elif (restore := ROOT.parent / "shared" / "corpora" / "restore.py").exists():
        folder = tmp_path_factory.mktemp("mirror")
        subprocess.run([sys.executable, restore, folder], check=True, stdout=subprocess.DEVNULL)
    else:
        folder = None
    if folder is None or not all((folder / corpus).is_dir() for corpus in corpora):
        pytest.skip("no real corpora at hand: set SER_MIRROR to a folder that holds emodb/ and ravdess/")
    return folder


@pytest.fixture
def table():
    """A catalogue: two corpora of four speakers each, who say two sentences in three emotions; 48 clips."""
    rows = []
    for corpus, speaker, emotion, text in product(("emodb", "ravdess"), range(1, 5), EMOTIONS, ("a", "b")):
        name = f"{speaker:02}{text}-{emotion}"
        rows.append(
            {
                "clip": f"{corpus}/{name}",
                "corpus": corpus,
                "path": f"data/corpora/{corpus}/{name}.wav",
                "speaker": f"{corpus}-{speaker:02}",
                "sex": ["female", "male"][speaker % 2],
                "emotion": emotion,
                "text": f"{corpus}-{text}",
                "intensity": "normal",
                "seconds": 1.0,
                "sample_rate": 16000,
                "sha256": f"{len(rows):064x}",
            }
        )
    return pd.DataFrame(rows, columns=manifest.COLUMNS).sort_values("clip", ignore_index=True)


@pytest.fixture
def mels(table):
    """Spectra of the catalogue's clips, 8 mels, 10 to 29 frames: other bands are louder in every emotion."""
    rng = np.random.default_rng(0)
    spectra = {}
    for clip, emotion in zip(table["clip"], table.emotion, strict=True):
        spectra[clip] = rng.normal(-60, 5, (rng.integers(10, 30), 8)).clip(-80, 0)
        band = 2 * EMOTIONS.index(emotion)
        spectra[clip][:, band : band + 2] += 30
    return spectra


@pytest.fixture
def quality():
    """metrics/quality/<generator>.json of two generators: {generator: content}; one has a figure less."""
    rng = np.random.default_rng(0)

    def side():
        return {key: round(float(rng.uniform()), 6) for key in tables.QUALITY}

    def generator():
        folds = [{"repeat": 0, "fold": fold, "clips": 48, "synthetic": side(), "reference": side()} for fold in (0, 1)]
        return {"synthetic": side(), "reference": side(), "emotions": [], "folds": folds}

    results = {"diffusion": generator(), "vae": generator()}
    results["vae"]["synthetic"]["kernel"] = results["vae"]["folds"][0]["synthetic"]["kernel"] = None
    return results


@pytest.fixture
def toy(table, mels, tmp_path, monkeypatch):
    """A project in the working folder: `table`, `mels` and four folds, speakers apart; returns its Study."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    table.to_csv("data/catalogue.csv", index=False)
    settings = splits.Split(protocol="speaker", folds=4, repeats=1, validation=0.3, training=1.0, seed=0)
    splits.make(table, settings).to_csv("data/splits.csv", index=False)
    mel_store.write("data/mels", (({"clip": clip}, frames) for clip, frames in mels.items()))
    return load_dataset(EMOTIONS, "speaker")


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A repository in which the whole graph has run: one worker runs it, each has a copy."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "first"
    with FileLock(f"{place}.lock"):
        if not place.exists():
            with replacing(place) as building:
                folder = copy_of_the_repository(building / "project")
                (building / "sitecustomize.py").write_text(WITNESS)
                witness = {"PYTHONPATH": str(building), "WITNESSED": str(building / "witnessed.tsv")}
                assert "train@baseline" in repro(folder, **witness)
                commit(folder)
    return shutil.copytree(place, tmp_path_factory.mktemp("own") / "first", symlinks=True) / "project"
