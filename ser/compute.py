"""The device, its precision and its random numbers."""

import ctypes
import os
from contextlib import suppress
from math import ceil, cos, pi
from typing import Literal

import numpy as np
import torch

Precision = Literal["bf16", "fp32"]
LOGGED = 50  # points of a loss curve


def device():
    """The GPU where there is one, else the CPU; switches PyTorch to deterministic algorithms.

    Ranks on one machine take its GPUs in turn, several share one where there are more ranks than GPUs.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # nothing here reads it
    _keep_freed_memory()
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    return torch.device("cuda")


def _keep_freed_memory():
    """Let glibc reuse freed blocks, which it would give back to the kernel to be mapped and zeroed anew.

    With the line on uninitialised memory above, 8 % of the time of an update of ResNet-18 on 2 cores and 6 % of the
    U-Net's (docs/performance.md).
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(-3, 2**30)  # M_MMAP_THRESHOLD, bytes
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, bytes


def autocast(device, precision):
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def derive_seed(*numbers):
    """One well-mixed seed from several, for instance (seed, repeat, fold)."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def generator(seed):
    """A CPU generator, so that what is drawn does not depend on the device."""
    return torch.Generator().manual_seed(seed)


def warmup_cosine(optimizer, updates, warmup=0.05):
    """Learning rate schedule: linear over the first share `warmup` of `updates`, then a half cosine to zero."""
    rise = ceil(warmup * updates)

    def factor(update):
        if update < rise:
            return (update + 1) / rise
        return 0.5 * (1 + cos(pi * (update - rise) / max(1, updates - rise)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def averaged(log, updates):
    """A function that takes a dict of figures, one tensor each, after every one of `updates`; it logs their means about
    LOGGED times."""
    every = updates // LOGGED
    count, totals = 0, {}

    def add(figures):
        nonlocal count
        count += 1
        for name, value in figures.items():
            totals[name] = totals.get(name, 0.0) + value.detach()
        if count % every == 0:
            log({name: float(total) / every for name, total in totals.items()})
            totals.clear()

    return add
