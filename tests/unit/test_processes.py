import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ser.core import processes
from ser.core.errors import InputError
from tests.helpers.project import ROOT

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(processes, "_cores", lambda: 2)


def note(item):
    Path(f"{item}").write_text(
        f"{os.getpid()} {torch.get_num_threads()} {torch.are_deterministic_algorithms_enabled()}"
    )


def meet(item):
    """Return once another process does another item."""
    Path(item).touch()
    deadline = time.monotonic() + 60
    while len(list(Path().iterdir())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def fail(item):
    Path(item).touch()
    time.sleep(0.5)
    raise InputError(f"{item}: cannot be used")


def die(item):
    os.kill(os.getpid(), signal.SIGKILL)


def noted(items):
    return [Path(item).read_text().split() for item in items]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_every_item_is_done_in_a_process_set_up_like_any_stage(monkeypatch, method):
    monkeypatch.setattr(processes, "METHOD", method)
    processes.for_each(note, "abcde", CPU)
    ids, threads, deterministic = zip(*noted("abcde"), strict=True)
    assert str(os.getpid()) not in ids and len(set(ids)) <= 2
    assert set(threads) == {"1"} and set(deterministic) == {"True"}


def test_as_many_as_there_are_cores_are_done_at_a_time():
    processes.for_each(meet, "ab", CPU)


@pytest.mark.parametrize(
    ("items", "threads", "device"), [("ab", "2", CPU), ("ab", "1", torch.device("cuda")), ("a", "1", CPU)]
)
def test_without_cores_to_share_this_process_does_one_after_the_other(monkeypatch, items, threads, device):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    processes.for_each(note, items, device)
    assert {pid for pid, _, _ in noted(items)} == {str(os.getpid())}


def test_without_the_variable_every_process_has_one_thread(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    processes.for_each(note, "ab", CPU)
    assert [threads for _, threads, _ in noted("ab")] == ["1", "1"]


def test_a_failure_is_raised_as_it_is_and_ends_what_has_not_begun():
    with pytest.raises(InputError, match="^[a-z]: cannot be used$"):
        processes.for_each(fail, "abcdefghij", CPU)
    assert len(list(Path().iterdir())) <= 2  # as many as there are processes


def test_a_killed_process_is_explained():
    with pytest.raises(
        InputError, match="a process ended unexpectedly, perhaps because memory ran out; run the same command"
    ):
        processes.for_each(die, "ab", CPU)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_processes_end_when_the_one_that_waits_for_them_is_killed(tmp_path):
    program = """
import os, time
from pathlib import Path
import torch
from ser.core import processes
processes._cores = lambda: 2
def work(item):
    Path(item).write_text(str(os.getpid()))
    time.sleep(300)
processes.for_each(work, "ab", torch.device("cpu"))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, env=environment)
    wait(lambda: all(Path(item).exists() and Path(item).read_text() for item in "ab"))
    children = [int(Path(item).read_text()) for item in "ab"]
    running.kill()
    running.wait()
    wait(lambda: not any(map(is_running, children)))


def wait(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
