"""The graph of dvc.yaml on many workers: `ser cluster`, with Ray (https://docs.ray.io).

A stage becomes one task for each fold that is not finished, and then one task for its own command, which gathers them.
It begins when the stages that it depends on are recorded in dvc.lock; tasks of all stages that have begun share the
workers. A task runs what `dvc repro` would run, in a process of its own: `python -m stages.fit vae`, with the name of a
fold or without. Results therefore do not depend on this module, and what is finished when a run ends is kept.
"""

import importlib
import logging
import os
import platform
import runpy
import secrets
import shlex
import shutil
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ser.core.errors import InputError
from ser.core.stage import progress

if TYPE_CHECKING:  # DVC takes a second to import, and `ser predict` does without
    from dvc.repo import Repo
    from dvc.stage import Stage

LOGS = Path("logs")  # of the tasks of the last run


class TaskError(Exception):
    """What a task raises when its command fails; the message is the last line of its log."""


def run(targets: Sequence[str], workers: int | None, cpus: int, gpus: float | None, retries: int) -> None:
    """Bring the stages `targets` (all, if there are none) and what they depend on up to date, and record them.

    `cpus` and `gpus` are what one task gets; tasks share a GPU where they get less than one. `workers` is how many
    tasks a Ray that is started here runs at once. A task whose process dies is started again up to `retries` times.

    Raises InputError where Ray is not installed, does not require a token or cannot run a task, where another process
    works on the same stages, and at the end where tasks failed.
    """
    root = Path(__file__).parents[1]
    if root != Path.cwd():
        raise InputError(f"this command runs the graph of {root}; go there, or use that of this clone: python -m ser")
    sys.path.insert(0, str(root))  # for the stages, which are not installed
    with _Graph(targets) as graph, _ray(root, workers, cpus, gpus) as remote:
        for stage in graph.commands:
            shutil.rmtree(LOGS / stage, ignore_errors=True)
        _Run(graph, remote.options(max_retries=retries), root).until_done()


class _Task(NamedTuple):
    """The part of a stage's work that one process does: a fold, or its command."""

    stage: str
    fold: str | None = None

    def __str__(self) -> str:
        return f"{self.stage}, fold {self.fold}" if self.fold else self.stage

    @property
    def log(self) -> Path:
        return LOGS / self.stage / f"{self.fold or 'stage'}.log"


class _Run:
    """The tasks of one run: which are running, and what is left."""

    def __init__(self, graph: "_Graph", remote: Any, root: Path) -> None:
        self.graph, self.remote, self.root = graph, remote, root
        self.running: dict[Any, _Task] = {}  # by Ray's reference
        self.folds: dict[str, int] = {}  # stage -> number of unfinished folds
        self.failures: list[str] = []

    def until_done(self) -> None:
        import ray

        with progress(name="cluster", unit="task") as self.bar:
            self._begin()
            while self.running:
                self.bar.total = self.bar.n + len(self.running) + len(self.graph.waiting)
                self.bar.refresh()
                (finished,), _ = ray.wait([*self.running], num_returns=1)
                task = self.running.pop(finished)
                try:
                    ray.get(finished)
                except TaskError as error:
                    self._fail(task, error.cause)  # type: ignore[attr-defined]  # of Ray
                except ray.exceptions.RayError as error:
                    self._fail(task, f"its process died ({type(error).__name__})")
                else:
                    self._succeed(task)
                self.bar.update()
        if self.failures:
            count = f"{len(self.failures)} tasks failed; the same command goes on with what is left"
            raise InputError("\n".join([count, *self.failures]))

    def _begin(self) -> None:
        """Begin every stage whose dependencies are recorded; those that are up to date count as recorded."""
        while ready := self.graph.ready():
            for stage in filter(self.graph.begin, ready):
                try:
                    folds = self._unfinished_folds(stage)
                except InputError as error:
                    self._fail(_Task(stage), error)
                    continue
                self.folds[stage] = len(folds)
                for task in [_Task(stage, fold) for fold in folds] or [_Task(stage)]:
                    self._submit(task)

    def _unfinished_folds(self, stage: str) -> list[str]:
        from ser.core import fold_jobs  # here, as it loads PyTorch, which not every task needs

        module, *arguments = self.graph.commands[stage]
        job = getattr(importlib.import_module(module), "JOB", None)
        return fold_jobs.missing(job(*arguments)) if job else []

    def _submit(self, task: _Task) -> None:
        command = [*self.graph.commands[task.stage], *filter(None, [task.fold])]
        self.running[self.remote.remote(self.root, task.log, command)] = task

    def _succeed(self, task: _Task) -> None:
        if task.fold is None:
            self.graph.record(task.stage)
            self._begin()
            return
        self.folds[task.stage] -= 1
        if not self.folds[task.stage]:
            self._submit(_Task(task.stage))

    def _fail(self, task: _Task, reason: object) -> None:
        """Note a failure. The stage is never recorded, so that what depends on it does not begin."""
        self.failures.append(f"{task}: {reason}; see {task.log}")
        self.bar.write(self.failures[-1], file=sys.stderr)


def needed(repo: "Repo", targets: Sequence[str]) -> "set[Stage]":
    """The stages of dvc.yaml that `targets` are, with those that they depend on; without targets, all."""
    import networkx

    graph = repo.index.graph  # from every stage to those that it depends on
    named = [stage for target in targets for stage in repo.stage.collect(target)] or list(graph)
    return set(named).union(*(networkx.descendants(graph, stage) for stage in named))


class _Graph:
    """The stages of dvc.yaml as DVC sees them: which have to run, which are recorded."""

    def __init__(self, targets: Sequence[str]) -> None:
        from dvc.repo import Repo

        logging.getLogger("dvc").setLevel(logging.ERROR)
        self.repo = Repo()
        graph, stages = self.repo.index.graph, needed(self.repo, targets)
        self.commands = {stage.addressing: shlex.split(stage.cmd)[2:] for stage in stages}  # what follows `python -m`
        self.waiting = {stage.addressing: {each.addressing for each in graph.successors(stage)} for stage in stages}
        self.locks: dict[str, ExitStack] = {}

    def __enter__(self) -> "_Graph":
        return self

    def __exit__(self, *_: object) -> None:
        for lock in self.locks.values():
            lock.close()
        self.repo.close()

    def ready(self) -> list[str]:
        """The stages that have not begun, and whose dependencies are recorded."""
        return [stage for stage, unrecorded in self.waiting.items() if not unrecorded]

    def begin(self, name: str) -> bool:
        """Whether a stage has to run; otherwise its outputs are in place, from DVC's cache where need be.

        Until it is recorded, no other DVC process writes what it reads or writes.
        """
        from dvc.lock import LockError
        from dvc.repo import lock_repo
        from dvc.rwlock import rwlock
        from dvc.stage.cache import RunCacheNotFoundError

        del self.waiting[name]
        with lock_repo(self.repo):
            (stage,) = self.repo.stage.collect(name)
            self.locks[name] = ExitStack()
            files = [[item.fs_path for item in items] for items in (stage.deps, stage.outs)]
            try:
                lock = rwlock(self.repo.tmp_dir, self.repo.fs, " ".join(sys.argv), *files, hardlink=False)
                self.locks[name].enter_context(lock)
            except LockError as error:
                raise InputError(f"{name}: {error}") from None
            if not stage.changed():
                self._release(name)
                return False
            try:
                self.repo.stage_cache.restore(stage)
            except RunCacheNotFoundError:
                return True
            self.record(name)
            return False

    def record(self, stage: str) -> None:
        """Write a stage that has run to dvc.lock, and its outputs to DVC's cache."""
        self.repo.commit(stage, force=True)
        self._release(stage)

    def _release(self, stage: str) -> None:
        self.locks.pop(stage).close()
        for unrecorded in self.waiting.values():
            unrecorded.discard(stage)


@contextmanager
def _ray(root: Path, workers: int | None, cpus: int, gpus: float | None) -> Iterator[Any]:
    """Start Ray here, or connect to the one at RAY_ADDRESS; yield the function that runs a task there."""
    address = os.environ.get("RAY_ADDRESS", "local")
    if address == "local":
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    elif os.environ.get("RAY_AUTH_MODE") != "token":
        raise InputError(
            "RAY_AUTH_MODE is not `token`: anyone who reaches a port of this Ray could run any code; start it with "
            "a token, as docs/scale.md shows"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise InputError("Ray is not installed; install it with `make cluster`") from None
    started_here = {"num_cpus": workers and workers * cpus, "include_dashboard": False} if address == "local" else {}
    variables = {"PYTHONPATH": str(root), "OMP_NUM_THREADS": str(cpus)}
    try:
        if ":" in address:
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()  # Ray itself would try for many minutes
        ray.init(
            address, runtime_env={"env_vars": variables}, log_to_driver=False, logging_level="error", **started_here
        )
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise InputError(f"Ray at RAY_ADDRESS={address}: {error}") from None
    try:
        machines = [machine["Resources"] for machine in ray.nodes() if machine["Alive"]]
        gpus = float(any("GPU" in machine for machine in machines)) if gpus is None else gpus
        if not any(machine.get("CPU", 0) >= cpus and machine.get("GPU", 0) >= gpus for machine in machines):
            raise InputError(f"no machine of this Ray has the {cpus} CPUs and {gpus:g} GPUs of a task: --cpus, --gpus")
        yield ray.remote(num_cpus=cpus, num_gpus=gpus, max_calls=1, retry_exceptions=False)(_execute)
    finally:
        ray.shutdown()


def _execute(root: Path, log: Path, command: list[str]) -> None:
    """Run `python -m COMMAND` in this process, in the folder `root`; what it prints goes to the file `log`."""
    os.chdir(root)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
        print(f"python -m {shlex.join(command)}: process {os.getpid()} on {platform.node()}")
        sys.argv, begun = command, time.perf_counter()
        try:
            runpy.run_module(command[0], run_name="__main__", alter_sys=True)
        except SystemExit as end:
            if end.code:
                print(end.code)
                raise TaskError(str(end.code)) from None
        except Exception as error:
            traceback.print_exc()
            raise TaskError(f"{type(error).__name__}: {error}") from None
        print(f"{time.perf_counter() - begun:.1f} s")
