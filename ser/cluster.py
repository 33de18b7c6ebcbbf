"""The graph of dvc.yaml on many workers: `ser cluster`, with Ray (https://docs.ray.io).

A stage becomes one task for each fold that is not finished, and then one task for its own command, which gathers them;
tasks of all stages that have begun share the workers (ser/graph.py).
"""

import os
import platform
import runpy
import secrets
import shlex
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from ser.core.errors import InputError
from ser.graph import Graph, Run, TaskError, check_root


def run(targets: Sequence[str], workers: int | None, cpus: int, gpus: float | None, retries: int) -> None:
    """Bring the stages `targets` (all, if there are none) and what they depend on up to date, and record them.

    `cpus` and `gpus` are what one task gets; tasks share a GPU where they get less than one. `workers` is how many
    tasks a Ray that is started here runs at once. A task whose process dies is started again up to `retries` times.

    Raises InputError where Ray is not installed, does not require a token or cannot run a task, where another process
    works on the same stages, and at the end where tasks failed.
    """
    root = check_root()
    with Graph(targets) as graph, _ray(root, workers, cpus, gpus) as remote:
        execute = remote.options(max_retries=retries).remote
        Run(graph, lambda log, command: execute(root, log, command).future(), by_fold=True).until_done()


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
