"""The graph by `ser run`: the same bytes as by `dvc repro`, although the process of a stage is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from ser import graph
from ser.core.errors import InputError
from tests.helpers.project import ENVIRONMENT, ROOT, change, copy_of_the_repository, repro
from tests.stress import faults

pytestmark = pytest.mark.timeout(1800)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def start(folder, *targets):
    return subprocess.Popen(
        [sys.executable, "-m", "ser", "run", *targets],
        cwd=folder,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(running):
    printed, _ = running.communicate()
    return running.returncode, printed


def process_of(stage, folder):
    """The number of a process that runs a stage in `folder`, or None."""
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            if f"stages.{stage}" in words and (entry / "cwd").readlink() == folder:
                return int(entry.name)
        except OSError:  # no process, or no more
            continue
    return None


def wait_for(stage, folder, running):
    while not (process := process_of(stage, folder)):
        assert running.poll() is None, running.communicate()
        time.sleep(0.02)
    return process


@LINUX
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_told_to_stop_ends_its_stages_first(number, status, tmp_path):
    work = copy_of_the_repository(tmp_path / "work")
    running = start(work)
    wait_for("download", work, running)
    running.send_signal(number)
    assert finish(running)[0] == status
    assert process_of("download", work) is None


@LINUX
def test_the_bytes_are_those_of_dvc_repro_although_a_process_is_killed(project, tmp_path):
    work = copy_of_the_repository(tmp_path / "work")
    running = start(work, "train_synthetic")
    os.kill(wait_for("fit_autoencoder", work, running), signal.SIGKILL)
    status, printed = finish(running)
    assert status == 1
    assert "error: 1 task failed" in printed
    assert "fit_autoencoder: its process died (SIGKILL); see logs/fit_autoencoder/stage.log" in printed
    assert not (work / "logs/fit@diffusion").exists()  # which needs it; what does not is done
    status, printed = finish(start(work, "train_synthetic"))
    assert status == 0, printed
    ran, expected = (yaml.safe_load((folder / "dvc.lock").read_text())["stages"] for folder in (work, project))
    assert "train_synthetic@diffusion" in ran
    assert ran == {name: expected[name] for name in ran}
    assert repro(work, "train_synthetic") == set()
    assert not faults.damaged_cache(work)


def test_a_stage_that_fails_is_named_with_its_reason_and_what_dvc_has_in_its_cache_is_not_run_again(project, tmp_path):
    complete = shutil.copytree(project, tmp_path / "complete", symlinks=True)
    (complete / "data/splits.csv").unlink()
    change(complete, {"mels": {"fmax": 20000}})
    status, printed = finish(start(complete, "split", "cache_mels"))
    assert status == 1
    assert "cache_mels: error: " in printed and "fmax" in printed
    assert (complete / "data/splits.csv").exists()
    assert not (complete / "logs/split").exists()


def test_a_stage_that_does_not_exist_is_one_line(tmp_path):
    work = copy_of_the_repository(tmp_path / "work")
    status, printed = finish(start(work, "nosuch"))
    assert status == 1
    assert printed.startswith("error: Stage 'nosuch' not found") and printed.count("\n") == 1


def test_the_graph_of_another_clone_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"^this command runs the graph of {ROOT}; go there"):
        graph.run([])
