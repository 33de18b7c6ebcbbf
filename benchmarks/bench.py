"""What all benchmarks share: the description of the machine, interleaved timing, the file of results.

A result is a dict with `what`, `command`, `machine`, `versions` and `rows`; a row holds `name`, `ours`, `other`,
`ratio`, `floor` and `unit`, with None where a value does not apply.
"""

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import measured

Result = TypeVar("Result")


def machine() -> dict[str, Any]:
    """Processor, usable cores, memory in GiB, system and Python of this computer."""
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def versions(*packages: str) -> dict[str, str]:
    """The installed version of each package."""
    return {package: importlib.metadata.version(package) for package in packages}


def in_turn(functions: Mapping[str, Callable[[], Result]], rounds: int) -> dict[str, list[Result]]:
    """Call every function once per round, in turn, so that a slow minute affects all alike.

    Returns what each function returned, round by round.
    """
    results: dict[str, list[Result]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            results[name].append(function())
    return results


def alternate(functions: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Time every function once per round, in turn, so that a slow minute affects all alike.

    Returns the seconds of each function, round by round, after one round that is not timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def child(function: Callable[..., float], *arguments: Any) -> Callable[[], float]:
    """A function that calls `function(*arguments)` in a fresh process and returns the seconds that it reports.

    Each implementation then runs as it would alone: what one changes in its process (allocator, threads, workers) has
    no effect on another.
    """
    module = sys.modules[function.__module__].__spec__.name  # also for `__main__`

    def run() -> float:
        code = f"from {module} import {function.__name__} as run; print(run(*{arguments!r}))"
        command = [sys.executable, "-W", "ignore", "-c", code]
        return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1])

    return run


def timed(function: Callable[[], Result]) -> tuple[Result, float]:
    """What `function` returns, and the seconds that it takes."""
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def matrix_product(precision: Any, size: int = 2048, times: int = 10) -> float:
    """The best rate of a product of two matrices `[size, size]` of a dtype, in floating-point operations per second."""
    import torch

    one, other = (torch.randn(size, size).to(precision) for _ in range(2))
    best = min(timed(lambda: one @ other)[1] for _ in range(times))
    return 2 * size**3 / best


def report(main: Callable[[], dict[str, Any]]) -> None:
    """Carry out `python -m benchmarks.NAME [--out FILE]`: measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--out", type=Path, help="write the result here as JSON")
    out = parser.parse_args().out
    save(out, {"command": f"python -m {sys.modules['__main__'].__spec__.name}", "machine": machine(), **main()})


def save(path: Path | None, result: dict[str, Any]) -> None:
    """Write a result as JSON and print it."""
    print(measured.as_json(result), end="")
    if path is not None:
        measured.write(path, result)
