"""Independent pieces of work in several processes: what a single network of this size leaves idle on many cores."""

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
from ser.core.device import setup_torch
from ser.core.errors import InputError

# Forked where that is safe, so that nothing is imported or loaded again.
METHOD = "fork" if sys.platform == "linux" else "spawn"
_work: Callable[[Any], None]  # of this process, where it is one of a pool


def for_each(work: Callable[[Any], None], items: Sequence[Any], device: torch.device) -> None:
    """Call `work(item)` for every item: on a GPU one after the other, on the CPU one per core at a time.

    With OMP_NUM_THREADS each gets so many cores, and as fewer run at a time. `work` may not change what they share.
    The first exception ends what has not begun, and is raised once the other processes are done. They end when this
    one is killed. Raises InputError where one of them was.
    """
    processes = 1
    if device.type == "cpu":
        torch.set_num_threads(_threads())
        processes = max(1, min(len(items), _cores() // _threads()))
    if processes == 1:
        for item in items:
            work(item)
        return
    context = multiprocessing.get_context(METHOD)
    rows = context.SimpleQueue()
    for row in range(processes):
        rows.put(row)
    with ProcessPoolExecutor(processes, context, _begin, (work, rows)) as pool:
        try:
            for finished in as_completed([pool.submit(_call, item) for item in items]):
                finished.result()
        except BrokenProcessPool:
            raise InputError(
                "a process was killed, perhaps for want of memory; run the same command again, finished work is kept; "
                f"with OMP_NUM_THREADS={2 * _threads()} there are half as many processes"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS", "1"))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin(work: Callable[[Any], None], rows: Any) -> None:
    global _work  # noqa: PLW0603  # what a process of a pool is for
    _work = work
    stage.draw_bars_at(rows.get())
    setup_torch()
    torch.set_num_threads(_threads())
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _call(item: Any) -> None:
    _work(item)
