"""What this machine can do at best: the rates from which floors are computed."""

from typing import Any

import numpy as np
import scipy.fft
import torch

from benchmarks import bench

TIMES = 10


def main() -> dict[str, Any]:
    """Measure matrix products, a copy in memory and Fourier transforms; return the result."""
    source = torch.randn(2**26)
    target = torch.empty_like(source)
    frames = np.random.default_rng(0).normal(size=(4096, 1024)).astype(np.float32)
    copy = min(bench.timed(lambda: target.copy_(source))[1] for _ in range(TIMES))
    fft = min(bench.timed(lambda: scipy.fft.rfft(frames))[1] for _ in range(TIMES))
    return {
        "what": "ceilings of the machine, the best of ten",
        "versions": bench.versions("torch", "numpy", "scipy"),
        "rows": [
            row("product of bf16 matrices, all cores", bench.matrix_product(torch.bfloat16) / 1e9, "GFLOP/s"),
            row("product of fp32 matrices, all cores", bench.matrix_product(torch.float32) / 1e9, "GFLOP/s"),
            row("copy in memory, read and written, all cores", 2 * source.nbytes / copy / 1e9, "GB/s"),
            row("real FFT of 1,024 samples, one core", fft / len(frames) * 1e6, "us"),
        ],
    }


def row(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "ours": value, "unit": unit}


if __name__ == "__main__":
    bench.report(main)
