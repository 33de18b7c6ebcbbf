"""The device and its precision."""

import ctypes
import os
from contextlib import suppress
from typing import Literal

import torch

Precision = Literal["bf16", "fp32"]


def setup_torch():
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
