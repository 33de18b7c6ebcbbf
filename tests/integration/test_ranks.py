import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from ser.core import ranks
from ser.core.errors import InputError
from tests.helpers.project import ROOT

STAGE = """
    import os, sys, time
    from pathlib import Path
    sys.path.append({root!r})
    from ser.core import fold_jobs
    from ser.core.fold import Fold

    class Toy(fold_jobs.FoldJob):
        folds = [Fold(0, number, ["a"], ["b"], ["c"]) for number in range({folds})]

        def run(self, fold, folder):
            with open("log", "a") as log:
                log.write(f"{{fold.name}} {{os.getpid()}}\\n")
            (folder / "result").write_text(fold.name)
            while Path("hold").exists():
                time.sleep(0.02)
            time.sleep(0.1)

        def gather(self, folders):
            with open("gathered", "a") as file:
                file.write(" ".join((folder / "result").read_text() for folder in folders) + "\\n")

    if __name__ == "__main__":
        fold_jobs.run(Toy("toy"))
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with one stage, `python -m toy.stage`, of six folds; `log` has a line `fold process` for each run."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TORCHELASTIC")]:
        monkeypatch.delenv(name)
    Path("toy").mkdir()
    Path("toy/stage.py").write_text(textwrap.dedent(STAGE.format(root=str(ROOT), folds=6)))
    return tmp_path


def start(*prefix, **environment):
    command = [*(prefix or [sys.executable]), "-m", "toy.stage"]
    return subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)


def torchrun(count=2):
    # "localhost" rather than the name of the host, which not every machine can resolve
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        str(count),
        "--master-addr",
        "localhost",
        "--master-port",
        "0",
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        "localhost:0",
        "--local-addr",
        "localhost",
    ]


def log():
    return [line.split() for line in Path("log").read_text().splitlines()] if Path("log").exists() else []


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


FOLDS = [f"0-{number}" for number in range(6)]


def test_processes_share_the_folds_and_run_each_once(project):
    Path("hold").touch()
    processes = [start(TORCHELASTIC_RUN_ID="x", SER_SUPERVISED="1", RANK=str(rank)) for rank in range(2)]
    wait_for(lambda: len(log()) == 2)
    Path("hold").unlink()
    assert [process.wait(30) for process in processes] == [0, 0]
    assert sorted(name for name, _ in log()) == FOLDS
    assert len({process for _, process in log()}) == 2
    assert not Path("gathered").exists()
    assert start().wait(30) == 0
    assert Path("gathered").read_text().split() == FOLDS
    assert len(log()) == 6


def test_a_plain_run_waits_for_a_fold_of_another_process_and_takes_it_over_when_that_dies(project):
    Path("hold").touch()
    rank = start(TORCHELASTIC_RUN_ID="x", SER_SUPERVISED="1", RANK="0")
    wait_for(lambda: len(log()) == 1)
    plain = start()
    wait_for(lambda: len(log()) == 2)
    rank.kill()
    rank.wait()
    Path("hold").unlink()
    assert plain.wait(30) == 0
    names = [name for name, _ in log()]
    assert sorted(names) == sorted([*FOLDS, "0-0"])
    assert names[-1] == "0-0"
    assert Path("gathered").read_text().split() == FOLDS


def test_a_killed_worker_costs_its_fold_and_no_other(project):
    Path("hold").touch()
    run = start(*torchrun())
    wait_for(lambda: len(log()) == 2)
    (lost, victim), (kept, other) = log()
    os.kill(int(victim), signal.SIGKILL)
    wait_for(lambda: len(log()) == 3)
    Path("hold").unlink()
    assert run.wait(60) == 0
    assert "killed by signal 9, starting again" in run.stderr.read()
    names = [name for name, _ in log()]
    assert names.count(lost) == 2
    assert sorted({*names}) == FOLDS and len(names) == 7
    assert (kept, other) in [tuple(line) for line in log()]


def test_an_error_of_a_rank_is_not_tried_again(project):
    Path("toy/stage.py").write_text(
        Path("toy/stage.py").read_text().replace('open("log", "a")', 'open("missing/log", "a")')
    )
    assert start(TORCHELASTIC_RUN_ID="x", RANK="0").wait(30) == 1


def test_the_launcher_is_started_before_the_folds_are_gathered(project):
    run = start(SER_LAUNCH=" ".join(torchrun()))
    assert run.wait(60) == 0, run.stderr.read()
    assert sorted(name for name, _ in log()) == FOLDS
    assert Path("gathered").read_text().split() == FOLDS


def test_a_launcher_that_does_not_exist_is_named(monkeypatch):
    monkeypatch.setenv("SER_LAUNCH", "no-such-launcher --flag")
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", SimpleNamespace(name="stages.train"))
    with pytest.raises(InputError, match="^SER_LAUNCH: no-such-launcher is not a command here"):
        ranks.launch()


def test_a_launcher_that_fails_leaves_what_is_missing_to_the_next_run(project):
    run = start(SER_LAUNCH="false")
    assert run.wait(30) == 1
    assert "SER_LAUNCH: it ended with status 1 and without folds 0-0, 0-1, 0-2, 0-3, 0-4, 0-5;" in run.stderr.read()
    assert not log()
