"""The graph of dvc.yaml, two stages at a time: `ser run`.

A stage begins when the stages that it depends on are recorded in dvc.lock. What runs is what `dvc repro` would run, in
a process of its own: `python -m stages.fit vae`. Results therefore do not depend on this module, and what is finished
when a run ends is kept.
"""

import importlib
import logging
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ser.core.errors import InputError
from ser.core.stage import progress

if TYPE_CHECKING:  # DVC takes a second to import, and `ser predict` does without
    from dvc.repo import Repo
    from dvc.stage import Stage

LOGS = Path("logs")  # of the tasks of the last run
AT_ONCE = 2  # while one stage loads libraries or draws, the folds of the other have the cores
Submit = Callable[[Path, list[str]], "Future[None]"]  # starts `python -m COMMAND`, whose output goes to the file


class TaskError(Exception):
    """What a task raises when its command fails; the message is the last line of its log."""


def run(targets: Sequence[str]) -> None:
    """Bring the stages `targets` (all, if there are none) and what they depend on up to date, and record them.

    SIGINT and SIGTERM end the stages that are running, and then this process. Raises InputError where another process
    works on the same stages, and at the end where stages failed.
    """
    here = _Here(check_root())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, here.stop)
    with Graph(targets) as graph, ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            Run(graph, lambda log, command: pool.submit(here.execute, log, command), by_fold=False).until_done()
        finally:
            if here.stopped_by:
                sys.exit(128 + here.stopped_by)


def check_root() -> Path:
    """The folder of this code; raises InputError where the working folder is another one."""
    root = Path(__file__).parents[1]
    if root != Path.cwd():
        raise InputError(f"this command runs the graph of {root}; go there, or use that of this clone: python -m ser")
    sys.path.insert(0, str(root))  # for the stages, which are not installed
    return root


class _Here:
    """Processes of this machine that run stages, until a signal ends them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.running: set[subprocess.Popen] = set()
        self.stopped_by: int | None = None  # the number of the signal

    def stop(self, number: int, _: object) -> None:
        self.stopped_by = number
        for process in list(self.running):
            process.terminate()

    def execute(self, log: Path, command: list[str]) -> None:
        """Run `python -m COMMAND`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as file:
            process = subprocess.Popen([sys.executable, "-m", *command], cwd=self.root, stdout=file, stderr=file)
            self.running.add(process)
            if self.stopped_by:
                process.terminate()
            status = process.wait()
            self.running.remove(process)
        if status < 0:
            raise TaskError(f"its process died ({signal.Signals(-status).name})")
        if status:
            raise TaskError(log.read_text(errors="replace").rstrip().rpartition("\n")[2])


class Task(NamedTuple):
    """The part of a stage's work that one process does: a fold, or its command."""

    stage: str
    fold: str | None = None

    def __str__(self) -> str:
        return f"{self.stage}, fold {self.fold}" if self.fold else self.stage

    @property
    def log(self) -> Path:
        return LOGS / self.stage / f"{self.fold or 'stage'}.log"


class Run:
    """The tasks of one run: which are running, and what is left."""

    def __init__(self, graph: "Graph", submit: Submit, by_fold: bool) -> None:
        self.graph, self.submit, self.by_fold = graph, submit, by_fold
        self.running: dict[Future[None], Task] = {}
        self.folds: dict[str, int] = {}  # stage -> number of unfinished folds
        self.ended = 0
        self.failures: list[str] = []

    def until_done(self) -> None:
        with progress(name="graph", unit="task" if self.by_fold else "stage") as self.bar:
            self._begin()
            while self.running:
                self.bar.total = self.ended + len(self.running) + len(self.graph.waiting)
                self.bar.refresh()
                finished, _ = wait(self.running, return_when=FIRST_COMPLETED)
                for future in finished:
                    self._end(self.running.pop(future), future.exception())
        if self.failures:
            count = "1 task" if len(self.failures) == 1 else f"{len(self.failures)} tasks"
            raise InputError("\n".join([f"{count} failed; the same command goes on with what is left", *self.failures]))

    def _begin(self) -> None:
        """Begin every stage whose dependencies are recorded; those that are up to date count as recorded."""
        while ready := self.graph.ready():
            for stage in filter(self.graph.begin, ready):
                try:
                    folds = self._unfinished_folds(stage) if self.by_fold else []
                except InputError as error:
                    self._fail(Task(stage), error)
                    continue
                self.folds[stage] = len(folds)
                for task in [Task(stage, fold) for fold in folds] or [Task(stage)]:
                    self._submit(task)

    def _unfinished_folds(self, stage: str) -> list[str]:
        from ser.core import fold_jobs  # here, as it loads PyTorch, which not every task needs

        module, *arguments = self.graph.commands[stage]
        job = getattr(importlib.import_module(module), "JOB", None)
        return fold_jobs.missing(job(*arguments)) if job else []

    def _submit(self, task: Task) -> None:
        command = [*self.graph.commands[task.stage], *filter(None, [task.fold])]
        self.running[self.submit(task.log, command)] = task

    def _end(self, task: Task, error: BaseException | None) -> None:
        if isinstance(error, TaskError):
            self._fail(task, getattr(error, "cause", error))  # Ray wraps it
        elif error:
            self._fail(task, f"its process died ({type(error).__name__})")
        else:
            self._succeed(task)
        self.ended += 1
        self.bar.update()
        if self.bar.disable:
            print(f"{self.ended} of {self.bar.total}: {task}", flush=True)

    def _succeed(self, task: Task) -> None:
        from dvc.exceptions import DvcException

        if task.fold is None:
            try:
                self.graph.record(task.stage)
            except (DvcException, OSError) as error:
                self._fail(task, f"it could not be recorded: {error}")
            else:
                self._begin()
            return
        self.folds[task.stage] -= 1
        if not self.folds[task.stage]:
            self._submit(Task(task.stage))

    def _fail(self, task: Task, reason: object) -> None:
        """Note a failure. The stage is never recorded, so that what depends on it does not begin."""
        self.failures.append(f"{task}: {reason}; see {task.log}")
        self.bar.write(self.failures[-1], file=sys.stderr)


def _needed(repo: "Repo", targets: Sequence[str]) -> "set[Stage]":
    """The stages of dvc.yaml that `targets` are, with those that they depend on; without targets, all."""
    import networkx
    from dvc.exceptions import DvcException

    graph = repo.index.graph  # from every stage to those that it depends on
    try:
        named = [stage for target in targets for stage in repo.stage.collect(target)] or list(graph)
    except DvcException as error:
        raise InputError(f"{error}; `dvc stage list` names the stages") from None
    return set(named).union(*(networkx.descendants(graph, stage) for stage in named))


class Graph:
    """The stages of dvc.yaml as DVC sees them: which have to run, which are recorded."""

    def __init__(self, targets: Sequence[str]) -> None:
        from dvc.repo import Repo

        logging.getLogger("dvc").setLevel(logging.ERROR)
        self.repo = Repo(_wait_for_lock=True)
        graph, stages = self.repo.index.graph, _needed(self.repo, targets)
        self.stages = {stage.addressing: stage for stage in stages}
        self.commands = {name: shlex.split(stage.cmd)[2:] for name, stage in self.stages.items()}  # after `python -m`
        self.waiting = {
            name: {each.addressing for each in graph.successors(stage)} for name, stage in self.stages.items()
        }
        self.locks: dict[str, ExitStack] = {}

    def __enter__(self) -> "Graph":
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
            stage = self.stages[name]
            self.locks[name] = ExitStack()
            files = [[item.fs_path for item in items] for items in (stage.deps, stage.outs)]
            try:
                lock = rwlock(self.repo.tmp_dir, self.repo.fs, " ".join(sys.argv), *files, hardlink=False)
                self.locks[name].enter_context(lock)
            except LockError as error:
                raise InputError(f"{name}: {error}") from None
            shutil.rmtree(LOGS / name, ignore_errors=True)
            if not stage.changed():
                self._release(name)
                return False
            try:
                self.repo.stage_cache.restore(stage)
            except RunCacheNotFoundError:
                return True
            self.record(name)
            return False

    def record(self, name: str) -> None:
        """Write a stage that has run to dvc.lock, and its outputs to DVC's cache."""
        from dvc.repo import lock_repo

        with lock_repo(self.repo):
            self.stages[name].save()
            self.stages[name].commit()
            self.stages[name].dump(update_pipeline=False)
        self._release(name)

    def _release(self, name: str) -> None:
        self.locks.pop(name).close()
        for unrecorded in self.waiting.values():
            unrecorded.discard(name)
