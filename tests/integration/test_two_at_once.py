"""Two runs, two workers, and an app that reads while a run writes."""

import json
import os
import shutil
import subprocess
import time

import pytest
from streamlit.testing.v1 import AppTest

from tests.helpers.project import ENVIRONMENT, call, commit
from tests.stress import faults


@pytest.fixture
def work(project, tmp_path):
    return shutil.copytree(project, tmp_path / "work", symlinks=True)


def test_a_second_run_is_refused_or_finds_the_work_done(work):
    expected = faults.contents(work)
    for stage in ("train@masked", "gallery@diffusion"):
        faults.forget(work, stage)
    runs = [faults.start(work) for _ in range(2)]
    printed = [run.communicate()[0] for run in runs]
    assert sorted(run.returncode for run in runs) in ([0, 0], [0, 255]), printed
    for run, text in zip(runs, printed, strict=True):
        assert run.returncode == 0 or "lock" in text.lower()
    assert faults.survived(faults.recovery(work, expected))


def test_two_workers_share_a_queue(work):
    commit(work)
    call("dvc", "exp", "run", "--queue", "-S", "augmentation.masked.time_mask=0.15,0.25", cwd=work)
    call("dvc", "queue", "start", "-j", "2", cwd=work)
    deadline = time.monotonic() + 300
    while (status := call("dvc", "queue", "status", cwd=work)).count("Success") < 2:
        assert "Failed" not in status and time.monotonic() < deadline, status
        time.sleep(1)
    call("dvc", "queue", "stop", cwd=work)
    table = json.loads(call("dvc", "exp", "show", "--json", cwd=work))
    results = [row["data"]["metrics"] for line in table[1]["experiments"] for row in line["revs"]]
    assert len(results) == 2 and all(row["metrics/compare.json"]["data"]["masked"]["ua"] > 0 for row in results)
    assert not faults.damaged_cache(work)


def test_the_app_reads_while_a_run_writes(work, monkeypatch):
    for stage in ("compare", "gallery@diffusion"):
        faults.forget(work, stage)
    monkeypatch.chdir(work)
    app = AppTest.from_file(str(work / "app/page.py"), default_timeout=60)
    running = subprocess.Popen(["dvc", "repro"], cwd=work, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    looks, missing = 0, 0
    while running.poll() is None:
        app.run()
        assert not app.exception, app.exception
        looks, missing = looks + 1, missing + any(info.value.startswith("This part ") for info in app.info)
    assert running.returncode == 0 and looks > missing > 0
    app.run()
    assert not app.exception and not any(info.value.startswith("This part ") for info in app.info)
    assert os.path.exists("metrics/compare.json")
