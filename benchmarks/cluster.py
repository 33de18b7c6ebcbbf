"""The graph of the demo: `dvc repro` against `ser cluster` on this machine, and a simulation of more workers.

The simulation deals the measured tasks to workers as Ray does: a task that becomes ready goes to the first free worker.
The ideal is the longest chain of tasks, or all tasks divided by the workers, whichever is longer.
"""

import re
import sys
import tempfile
import time
from collections.abc import Mapping
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from benchmarks import bench
from tests.helpers import project

WORKERS = (8, 16, 64)
Task = tuple[str, str]  # stage; fold, or "stage" for its command


def main() -> dict[str, Any]:
    """Run the graph in three ways, each in a copy of the repository with an empty cache; return the result."""
    cores = bench.machine()["cores"]
    cluster = [sys.executable, "-m", "ser", "cluster"]
    commands = {
        "dvc repro": ["dvc", "repro"],
        f"ser cluster, 1 worker of {cores} threads": [*cluster, "--workers", "1", "--cpus", str(cores)],
        f"ser cluster, {cores} workers of 1 thread": [*cluster, "--workers", str(cores)],
    }
    with tempfile.TemporaryDirectory() as place:
        seconds = {}
        for number, (name, command) in enumerate(commands.items()):
            folder = project.copy_of_the_repository(Path(place, str(number)), "demo")
            start = time.perf_counter()
            project.call(*command, cwd=folder, OMP_NUM_THREADS=str(cores))
            seconds[name] = time.perf_counter() - start
            print(name, round(seconds[name]), "s", flush=True)
        tasks, needs = measured_tasks(folder), stages_needed(folder)
    repro = seconds.pop("dvc repro")
    rows = [
        {"name": f"demo, {name}", "ours": wall, "other": repro, "ratio": repro / wall, "floor": None, "unit": "s"}
        for name, wall in seconds.items()
    ]
    rows += [
        {
            "name": f"demo, simulated, {workers} workers of 1 thread",
            "ours": simulated(tasks, needs, workers),
            "other": None,
            "ratio": None,
            "floor": ideal(tasks, needs, workers),
            "unit": "s",
        }
        for workers in (cores, *WORKERS)
    ]
    return {
        "what": "the graph of experiments/demo.yaml with an empty cache; other: `dvc repro` with all cores; floor: the "
        "longest chain of tasks, or all tasks divided by the workers",
        "versions": bench.versions("ray", "dvc", "torch"),
        "rows": rows,
        "tasks": {"/".join(task): duration for task, duration in tasks.items()},
    }


def measured_tasks(folder: Path) -> dict[Task, float]:
    """The seconds of every task of a run of `ser cluster`, from its logs."""
    return {
        (log.parent.name, log.stem): float(re.findall(r"^([\d.]+) s$", log.read_text(), re.MULTILINE)[-1])
        for log in sorted((folder / "logs").glob("*/*.log"))
    }


def stages_needed(folder: Path) -> dict[str, set[str]]:
    """The stages that each stage depends on."""
    with Repo(str(folder)) as repo:
        graph = repo.index.graph
        return {stage.name: {each.name for each in graph.successors(stage)} for stage in graph}


def simulated(tasks: Mapping[Task, float], needs: Mapping[str, set[str]], workers: int) -> float:
    """Seconds until `workers` are done with all tasks; a stage's command waits for its folds."""
    waiting = {stage: set(needed) for stage, needed in needs.items()}
    folds = {stage: {task for task in tasks if task[0] == stage and task[1] != "stage"} for stage in needs}
    queue: list[Task] = []
    running: list[tuple[float, Task]] = []
    now = 0.0
    while True:
        for stage in [stage for stage, needed in waiting.items() if not needed]:
            del waiting[stage]
            queue += sorted(folds[stage]) or [(stage, "stage")]
        while queue and len(running) < workers:
            task = queue.pop(0)
            heappush(running, (now + tasks[task], task))
        if not running:
            return now
        now, (stage, part) = heappop(running)
        folds[stage].discard((stage, part))
        if part == "stage":
            for needed in waiting.values():
                needed.discard(stage)
        elif not folds[stage]:
            queue.append((stage, "stage"))


def ideal(tasks: Mapping[Task, float], needs: Mapping[str, set[str]], workers: int) -> float:
    """The seconds below which no order of the tasks gets."""

    def chain(stage: str) -> float:
        folds = [seconds for (name, part), seconds in tasks.items() if name == stage and part != "stage"]
        return max(map(chain, needs[stage]), default=0.0) + max(folds, default=0.0) + tasks[stage, "stage"]

    return max(*map(chain, needs), sum(tasks.values()) / workers)


if __name__ == "__main__":
    bench.report(main)
