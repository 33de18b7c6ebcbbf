"""Training a U-Net for diffusion: ours against denoising-diffusion-pytorch and diffusers' example at the same size."""

from statistics import median
from typing import Any

import torch
from diffusers import UNet2DModel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import bench
from benchmarks.common import denoising_diffusion_loop, diffusers_loop
from benchmarks.training import N_CLASSES, N_MELS, noise_clips
from ser.core import params
from ser.core.device import setup_torch
from ser.core.optim import LOG_POINTS, ignore
from ser.generators import unet
from ser.generators.autoencoder import Autoencoder
from ser.generators.base import TrainingPart
from ser.generators.unet import ConditionalUNet, UNetConfig
from ser.generators.unet_diffusion import UNetDiffusion

EMBEDDING_WIDTH, BATCH, ROUNDS = 512, 16, 1
CONDITION_WIDTH = EMBEDDING_WIDTH + N_CLASSES


def main() -> dict[str, Any]:
    """Time four loops in turn on noise; return the result."""
    config = params.read("generators.unet_diffusion.fit", UNetConfig).model_copy(
        update={"updates": LOG_POINTS, "batch": BATCH}
    )
    setup_torch()
    torch.set_num_threads(bench.machine()["cores"])
    clips, embeddings = noise_clips(256), torch.randn(256, EMBEDDING_WIDTH)
    model = unet.build(config, CONDITION_WIDTH)
    example = diffusers_loop.Loop(UNet2DModel.from_config(model.unet.config), cell_shape(config))
    package = denoising_diffusion_loop.Loop(cell_shape(config))
    package_on_pixels = denoising_diffusion_loop.Loop((1, N_MELS, config.frames))
    factors, autoencoder = torch.zeros(256, 0), Autoencoder([8, 8, 8], 1, clips.normaliser())  # which it does not use
    part = TrainingPart(clips, clips.normaliser(), factors, embeddings, autoencoder)
    loops = {
        "ours": (config.updates, lambda: UNetDiffusion.fit(part, config, 0, ignore)),
        "diffusers' example, same U-Net": (16, lambda: example.run(16)),
        "denoising-diffusion-pytorch, same cells": (16, lambda: package.run(16)),
        "denoising-diffusion-pytorch, on the mel itself": (2, lambda: package_on_pixels.run(2)),
    }
    example.run(1), package.run(1)
    seconds = bench.alternate({name: run for name, (_, run) in loops.items()}, ROUNDS)
    rate = {name: loops[name][0] * BATCH / median(runs) for name, runs in seconds.items()}
    operations = 3 * forward_operations(model, config)
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
        "what": "training a U-Net on mels of 80 x 128 in cells of 4 x 4, batches of 16",
        "floor": "all multiplications of forward and backward at the rate of a bf16 matrix product",
        "parameters": {
            "ours": parameter_count(model),
            "diffusers": parameter_count(example.unet),
            "denoising-diffusion-pytorch": parameter_count(package.unet),
        },
        "versions": bench.versions("torch", "diffusers", "denoising-diffusion-pytorch"),
        "rows": rows,
    }


def cell_shape(config: UNetConfig) -> tuple[int, int, int]:
    """Channels, height and width of a mel in cells of `patch` x `patch`."""
    return config.patch**2, N_MELS // config.patch, config.frames // config.patch


def parameter_count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def forward_operations(model: ConditionalUNet, config: UNetConfig) -> int:
    """Floating-point operations of the forward pass of one crop."""
    device = model.unconditional.device
    mel = torch.zeros(1, 1, N_MELS, config.frames, device=device)
    condition = torch.zeros(1, model.condition.in_features, device=device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(mel, torch.zeros(1, device=device), condition, torch.ones(1, device=device) > 0)
    return counter.get_total_flops()


if __name__ == "__main__":
    bench.report(main)
