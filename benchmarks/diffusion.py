"""Training a diffusion model: ours against denoising-diffusion-pytorch and diffusers' example at the same size."""

from statistics import median

import torch
from diffusers import UNet2DModel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import bench
from benchmarks.common import denoising_diffusion_loop, diffusers_loop
from benchmarks.training import N_MELS, noise
from ser.core import params
from ser.core.device import setup_torch
from ser.core.optim import LOG_POINTS
from ser.generators import denoiser, diffusion

WIDTH, BATCH, ROUNDS = 512, 16, 1


def main():
    """Time four loops in turn on noise; return the result."""
    settings = params.read("generators.diffusion.fit", diffusion.Fit).model_copy(
        update={"updates": LOG_POINTS, "batch": BATCH}
    )
    setup_torch()
    clips, conditions = noise(256), torch.randn(256, WIDTH)
    model = denoiser.build(settings, WIDTH)
    cells = (settings.patch**2, N_MELS // settings.patch, settings.frames // settings.patch)
    theirs = diffusers_loop.Loop(UNet2DModel.from_config(model.unet.config), cells)
    packaged = denoising_diffusion_loop.Loop(cells)
    pixels = denoising_diffusion_loop.Loop((1, N_MELS, settings.frames))
    normalise = clips.normaliser()
    loops = {
        "ours": (settings.updates, lambda: diffusion.fit(clips, normalise, conditions, settings, 0, lambda _: None)),
        "diffusers' example, same U-Net": (16, lambda: theirs.run(16)),
        "denoising-diffusion-pytorch, same cells": (16, lambda: packaged.run(16)),
        "denoising-diffusion-pytorch, on the mel itself": (2, lambda: pixels.run(2)),
    }
    theirs.run(1), packaged.run(1)
    seconds = bench.alternate({name: run for name, (_, run) in loops.items()}, ROUNDS)
    rate = {name: loops[name][0] * BATCH / median(runs) for name, runs in seconds.items()}
    operations = 3 * forward_operations(model, settings)
    ceiling = bench.matrix_product(torch.bfloat16)
    ours = rate.pop("ours")
    rows = [
        {
            "name": f"diffusion, training, against {name}",
            "unit": "crops/s",
            "ours": ours,
            "other": other,
            "ratio": ours / other,
            "floor": ceiling / operations,
            "reached": ours * operations / ceiling,
        }
        for name, other in rate.items()
    ]
    return {
        "what": "training a denoiser on mels of 80 x 128 in cells of 4 x 4, batches of 16",
        "floor": "all multiplications of forward and backward at the rate of a bf16 matrix product",
        "parameters": {
            "ours": size(model),
            "diffusers": size(theirs.unet),
            "denoising-diffusion-pytorch": size(packaged.unet),
        },
        "versions": bench.versions("torch", "diffusers", "denoising-diffusion-pytorch"),
        "rows": rows,
    }


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


def forward_operations(model, settings):
    """Floating-point operations of one crop's forward pass."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 1, N_MELS, settings.frames), torch.zeros(1), torch.zeros(1, WIDTH), torch.ones(1) > 0)
    return counter.get_total_flops()


if __name__ == "__main__":
    bench.report(main)
