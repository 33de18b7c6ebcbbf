import os
import shutil
from collections import Counter
from itertools import product
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a core for each worker; read when torch is imported

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from ser.core import processes
from ser.core.atomic import replacing
from ser.data import manifest, mel_store, splits
from ser.data.dataset import load_dataset
from ser.reporting import tables
from tests.helpers.constants import EMOTIONS
from tests.helpers.project import ROOT, WITNESS, commit, copy_of_the_repository, repro

FOLDERS = ("unit", "integration", "stress")  # of tests; each has a marker of the same name
# How reasons for skips begin that are no lack of this machine: other versions of libraries, and packages apart.
ELSEWHERE = ("not written by this libsndfile", "`make encoder`")
# The longest files, which begin first; of those in integration/, the first one makes the project that others wait for.
LONGEST = (
    *(f"integration/test_{name}.py" for name in ("cluster", "named_experiments", "pipeline", "sharing", "app")),
    *(f"unit/test_{name}.py" for name in ("splits", "generators", "arms", "imports", "figures")),
)


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    """Fold jobs that a test calls run in its own process, where it sees what they do."""
    monkeypatch.setattr(processes, "_cores", lambda: 1)


def pytest_collection_modifyitems(items):
    """Mark every test with the name of its folder; put the longest files first, then those with most tests."""
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0]
        assert folder in FOLDERS, f"{item.path} is not in {', '.join(FOLDERS)}"
        item.add_marker(folder)
    tests = Counter(item.path for item in items)
    rank = {ROOT / "tests" / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (rank.get(item.path, len(rank)), -tests[item.path], item.path))


def pytest_sessionfinish(session):
    """With SER_COMPLETE set, as continuous integration does, a skip is a failure, but for those of ELSEWHERE."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or "SER_COMPLETE" not in os.environ:
        return
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in reporter.stats.get("skipped", [])]
    if avoidable := sorted({reason for reason in reasons if not reason.startswith(ELSEWHERE)}):
        reporter.write_line(f"SER_COMPLETE: skipped, though it could have run here: {'; '.join(avoidable)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def mirror():
    """The folder SER_MIRROR with the real emodb/ and ravdess/, or a skip."""
    if "SER_MIRROR" not in os.environ:
        pytest.skip("no real corpora: set SER_MIRROR to a folder that holds emodb/ and ravdess/")
    folder = Path(os.environ["SER_MIRROR"]).absolute()
    if missing := [corpus for corpus in ("emodb", "ravdess") if not (folder / corpus).is_dir()]:
        pytest.skip(f"no real corpora: SER_MIRROR={folder} has no folder {' and no folder '.join(missing)}")
    return folder


@pytest.fixture
def table():
    """A catalogue of 48 clips: two corpora of four speakers each, two sentences, three emotions."""
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
    """Mels [8 bands, 10 to 29 frames] of the catalogue's clips, in dB: other bands are louder for each emotion."""
    rng = np.random.default_rng(0)
    mels = {}
    for clip, emotion in zip(table["clip"], table["emotion"], strict=True):
        mels[clip] = rng.normal(-60, 5, (rng.integers(10, 30), 8)).clip(-80, 0).T
        band = 2 * EMOTIONS.index(emotion)
        mels[clip][band : band + 2] += 30
    return mels


@pytest.fixture
def quality():
    """metrics/quality/<generator>.json of two generators: {generator: content}; one lacks a metric."""
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
    """A project in the working folder: `table`, `mels` and four folds over speakers; returns its Dataset."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    table.to_csv("data/catalogue.csv", index=False)
    config = splits.SplitConfig(protocol="speaker", folds=4, repeats=1, validation=0.3, training=1.0, seed=0)
    splits.make(table, config).to_csv("data/splits.csv", index=False)
    mel_store.write("data/mels", (({"clip": clip}, mel) for clip, mel in mels.items()))
    return load_dataset(EMOTIONS, "speaker")


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A repository in which the whole graph has run. One worker runs it, every worker has a copy."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "first"
    with FileLock(f"{place}.lock"):
        if not place.exists():
            with replacing(place) as building:
                folder = copy_of_the_repository(building / "project")
                (building / "sitecustomize.py").write_text(WITNESS)
                witness = {"PYTHONPATH": str(building), "WITNESSED": str(building / "witnessed.tsv")}
                home = {"HOME": str(building / "home"), "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""}
                assert "train@baseline" in repro(folder, **witness, **home)
                commit(folder)
    return shutil.copytree(place, tmp_path_factory.mktemp("own") / "first", symlinks=True) / "project"
