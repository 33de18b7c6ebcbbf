"""Run independent work in several processes, one per core: a single network of this size leaves most cores idle."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from threading import Thread
from typing import Any

import torch

from ser.core import stage
from ser.core.device import setup_torch, threads
from ser.core.errors import InputError

# Forked where that is safe, so that nothing is imported or loaded again.
METHOD = "fork" if sys.platform == "linux" else "spawn"
_work: Callable[[Any], None]  # of this process, where it is one of a pool
_ended: Any  # the event, shared by the processes of a pool, that one of them failed


def for_each(work: Callable[[Any], None], items: Sequence[Any], device: torch.device) -> None:
    """Call `work(item)` for every item: on a GPU one after the other, on the CPU one per core at a time.

    Each process uses OMP_NUM_THREADS threads, 1 where that is not set, and correspondingly fewer run at a time. `work`
    must not modify shared state. The first exception ends what has not begun, and is raised once the processes that
    work are done. They end if this process is killed. Raises InputError if one of them was.
    """
    processes = min(len(items), _cores() // threads()) if device.type == "cpu" else 1
    if processes <= 1:
        for item in items:
            work(item)
        return
    context = multiprocessing.get_context(METHOD)
    rows, ended = context.SimpleQueue(), context.Event()
    for row in range(processes):
        rows.put(row)
    with ProcessPoolExecutor(processes, context, _begin, (work, rows, ended)) as pool:
        try:
            for finished in as_completed([pool.submit(_call, item) for item in items]):
                finished.result()
        except BrokenProcessPool as error:
            raise InputError(
                "a process ended unexpectedly, perhaps because memory ran out; run the same command again, finished "
                f"work is kept; with OMP_NUM_THREADS={2 * threads()} there are half as many processes"
            ) from error
        finally:
            ended.set()
            pool.shutdown(cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin(work: Callable[[Any], None], rows: Any, ended: Any) -> None:
    global _work, _ended  # what a process of a pool is for
    _work, _ended = work, ended
    stage.draw_bars_at(rows.get())
    setup_torch()
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _call(item: Any) -> None:
    if _ended.is_set():
        return
    try:
        _work(item)
    except BaseException:
        _ended.set()
        raise
