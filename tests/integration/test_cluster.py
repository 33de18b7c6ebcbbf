"""The graph on a Ray of two workers: the same bytes as `dvc repro` alone, whatever dies meanwhile."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from dvc.repo import Repo
from dvc.rwlock import rwlock

from tests.helpers.project import ENVIRONMENT, ROOT, call, change, copy_of_the_repository, repro
from tests.stress import faults

pytest.importorskip("ray", reason="`make cluster` installs Ray")
pytestmark = pytest.mark.timeout(1800)

HOST = """
import sys
from pathlib import Path
from ser import cluster
with cluster._ray(Path.cwd(), 1, 1, None):
    import ray
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.readline()
"""
STRANGER = """
import sys, ray
ray.init(sys.argv[1], logging_level="error")
print(ray.cluster_resources())
"""


@pytest.fixture
def work(tmp_path):
    """A repository in which nothing has run."""
    return copy_of_the_repository(tmp_path / "work")


@pytest.fixture
def complete(project, tmp_path):
    """A repository in which the whole graph has run."""
    return shutil.copytree(project, tmp_path / "complete", symlinks=True)


def start(folder, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "ser", "cluster", "--workers", "2", *arguments],
        cwd=folder,
        env=ENVIRONMENT | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def logs(folder):
    """`{stage/fold: [process, ...]}` of all tasks so far; a task that was started again has several processes."""
    files = sorted((folder / "logs").glob("*/*.log"))
    return {f"{path.parent.name}/{path.stem}": re.findall(r": process (\d+) on ", path.read_text()) for path in files}


def look_until(condition, running, seconds=900):
    deadline = time.monotonic() + seconds
    while not condition():
        assert running.poll() is None, running.communicate()[0]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_the_bytes_are_those_of_dvc_repro_although_a_process_of_every_kind_is_killed(project, work):
    victims = [
        "cache_mels/stage",
        "embed/stage",
        "train@baseline/0-0-1",
        "fit_autoencoder/0-1",
        "fit@diffusion/0-1",
        "sample@diffusion/0-0",
        "train_synthetic@diffusion/0-1-0",
        "train_synthetic@diffusion/stage",
        "sample_quality@diffusion/0-0",
        "enhance@diffusion/0-1",
        "export/stage",
    ]
    running = start(work)
    left = set(victims)
    while left and running.poll() is None:
        for name, processes in logs(work).items():
            if name in left and processes:
                os.kill(int(processes[0]), signal.SIGKILL)
                left.remove(name)
        time.sleep(0.02)
    printed, _ = running.communicate()
    assert running.returncode == 0, printed
    assert not left
    assert {name for name, processes in logs(work).items() if len(processes) == 2} == set(victims)
    assert {name for name, processes in logs(work).items() if len(processes) == 1} == logs(work).keys() - set(victims)
    assert faults.difference(work, faults.contents(project)) == {"different": [], "cache": []}
    assert repro(work) == set()


def test_a_driver_that_is_killed_goes_on_and_leaves_nobody_behind(work):
    targets = "train@baseline", "train@masked"
    first = start(work, *targets)
    look_until(lambda: list(work.glob("data/fold_jobs/*/*/0-?-?")), first)
    first.kill()
    first.communicate()
    processes = {process for each in logs(work).values() for process in each}
    deadline = time.monotonic() + 60
    while any(os.path.exists(f"/proc/{process}") for process in processes):
        assert time.monotonic() < deadline, "processes of tasks outlive the driver"
        time.sleep(0.1)
    finished = {path: path.stat().st_mtime for path in work.glob("data/fold_jobs/*/*/0-?-?")}
    second = start(work, *targets)
    printed, _ = second.communicate()
    assert second.returncode == 0, printed
    again = logs(work)
    for path in finished:
        assert f"train@{path.parts[-3]}/{path.name}" not in again
    assert {name for name in again if name.endswith("/stage")} >= {"train@baseline/stage", "train@masked/stage"}
    assert not {"download@demo/stage", "split/stage"} & again.keys()
    assert repro(work, *targets) == set()


def test_an_error_stops_what_depends_on_it_and_nothing_else(complete):
    name = "unet_diffusion"
    study = {"generators": [name], "enhanced": [], "recognising": []}
    generators = {name: {"fit": {"frames": 33}}}  # which the fit of a fold refuses, as it has to see the mels
    arms = {name: {"share": 0.2}}
    masks = {"masked": {"time_mask": 0.2}}
    change(complete, {"study": study, "arms": arms, "generators": generators, "augmentation": masks})
    running = start(complete)
    printed, _ = running.communicate()
    assert running.returncode == 1
    *_, count, first, second = printed.strip().splitlines()
    assert count == "error: 2 tasks failed; the same command goes on with what is left"
    for fold, line in enumerate(sorted([first, second])):
        log = f"logs/fit@{name}/0-{fold}.log"
        assert line.startswith(f"fit@{name}, fold 0-{fold}: error: params.yaml: key `generators.{name}.fit.frames`")
        assert line.endswith(f"; see {log}")
        assert len(re.findall(": process ", (complete / log).read_text())) == 1
        assert f"generators.{name}.fit.frames" in (complete / log).read_text()
    begun = {name.partition("/")[0] for name in logs(complete)}
    assert begun == {"train@masked", f"fit@{name}"}
    assert "train@masked" not in call("dvc", "status", cwd=complete)


def test_what_dvc_has_in_its_cache_is_not_run_again(complete):
    (complete / "dvc.lock").unlink()
    for path in ("models/arms/masked.safetensors", "data/splits.csv"):
        (complete / path).unlink()
    running = start(complete)
    printed, _ = running.communicate()
    assert running.returncode == 0, printed
    in_git = {"compare/stage", "adapt/stage", "export/stage", "card/stage"}  # whose outputs are not in the cache
    assert logs(complete).keys() <= in_git
    assert repro(complete) == set()


def test_a_stage_that_another_process_works_on_is_left_alone(work):
    repro(work, "split")
    with Repo(str(work)) as repo:
        writes = [str(work / "models/arms/baseline.json")]
        with rwlock(repo.tmp_dir, repo.fs, "another", [], writes, False):
            refused = start(work, "train@baseline")
            printed, _ = refused.communicate()
    assert refused.returncode == 1
    assert printed.startswith("error: train@baseline: ") and "is busy" in printed
    assert not any(name.startswith("train@baseline") for name in logs(work))


def test_nobody_connects_without_the_token():
    host = subprocess.Popen(
        [sys.executable, "-c", HOST], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    address = host.stdout.readline().strip()
    for environment in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "guessed"}):
        command = [sys.executable, "-c", STRANGER, address]
        stranger = subprocess.run(command, env=ENVIRONMENT | environment, capture_output=True, text=True)
        assert stranger.returncode != 0 and not stranger.stdout
        assert "uthenticat" in stranger.stderr, stranger.stderr
    host.communicate("done")
    assert host.returncode == 0


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RAY_ADDRESS": "127.0.0.1:6379"}, "RAY_AUTH_MODE is not `token`"),
        ({"RAY_ADDRESS": "127.0.0.1:1", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "x"}, "RAY_ADDRESS=127.0.0.1:1"),
    ],
)
def test_a_ray_that_cannot_be_used_is_named(work, environment, message):
    refused = start(work, **environment)
    printed, _ = refused.communicate()
    assert refused.returncode == 1
    assert printed.startswith("error: ") and message in printed
