"""The device that PyTorch computes on, and the precision."""

import ctypes
import os
from contextlib import suppress
from typing import Literal

import torch

from ser.core.errors import InputError

Precision = Literal["bf16", "fp32"]


def setup_torch() -> torch.device:
    """Switch PyTorch to deterministic algorithms and return the device: the GPU if there is one, else the CPU.

    On the CPU it uses `threads()` threads, on which the last bits of results depend.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("error")  # `use_deterministic_algorithms` also imports the compiler, in a second
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing here reads it
    _keep_freed_memory()
    if torch.cuda.is_available():
        return torch.device("cuda")
    torch.set_num_threads(threads())
    return torch.device("cpu")


def threads() -> int:
    """The threads of each process: OMP_NUM_THREADS, 1 where it is not set. Raises InputError for what is no number."""
    text = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip() or "1"
    if not text.isdecimal() or not int(text):
        raise InputError(f"OMP_NUM_THREADS is {text!r}; expected the number of threads of each process, such as 1")
    return int(text)


def _keep_freed_memory() -> None:
    """Let glibc reuse freed blocks instead of returning them to the kernel, which maps and zeroes them again.

    Together with `fill_uninitialized_memory` above, this saves 8 % of the time of an update of ResNet-18 on 2 cores and
    6 % of one of the U-Net (docs/performance.md).
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(-3, 2**30)  # M_MMAP_THRESHOLD, bytes
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD, bytes


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which operations run in bfloat16, if that is the precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
