"""Sampling: quality against time for samplers, steps and guidance, and the speed of other implementations.

Our default is compared with 1,000 steps of DDPM, ours and those of two packages. Uses the models of the first fold in
the workspace.
"""

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DModel
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks import bench
from benchmarks.common import denoising_diffusion_loop, diffusers_loop
from benchmarks.diffusion import cell_shape, forward_operations
from benchmarks.training import N_MELS
from ser.core import checkpoints, params
from ser.core.device import setup_torch
from ser.core.rng import make_rng
from ser.data.clips import Normaliser
from ser.data.dataset import load_dataset
from ser.evaluation import sample_metrics
from ser.generators.denoiser import DenoiserConfig, DiffusionSampleConfig
from ser.generators.diffusion import Diffusion
from ser.models.classifier import Classifier, ClassifierConfig, build_classifier
from ser.reporting import figures

CLIPS = 1200
FEW = 24  # mels for a point of the curve, and for 1,000 steps
CURVE = {"dpm_solver": [4, 6, 8, 10, 15, 25], "ddim": [10, 25, 50], "ddpm": [50, 1000]}
GUIDANCE = [1.0, 2.0, 3.0, 4.0]
EVALUATOR = "augmented"  # its classifier did not make the embeddings that condition the samples; `baseline` did
PLOT = "docs/sampling.png"
STEPS, BATCH = 50, 16  # of the packages: steps that are timed of their 1,000 equal ones, and mels at a time


@dataclass(frozen=True)
class FirstFold:
    """The generator of the first fold, and what its samples are evaluated with."""

    generator: Diffusion
    embeddings: Tensor  # [clips, width], of the training clips
    labels: Tensor  # [clips]
    n_classes: int
    evaluator: Classifier
    reference: Tensor  # [clips, width], embeddings of the training clips by the evaluator


def main() -> dict[str, Any]:
    """Measure the curve and the ratios; draw the curve; return the result."""
    fold = load_first_fold()
    default = params.read("generators.diffusion.sample", DiffusionSampleConfig)
    ours = {"name": "default", **describe(default), **evaluate(fold, default, CLIPS)}
    curve = [
        {**describe(config), **evaluate(fold, config, FEW)}
        for config in [
            *(
                default.model_copy(update={"sampler": sampler, "steps": steps})
                for sampler, counts in CURVE.items()
                for steps in counts
            ),
            *(default.model_copy(update={"guidance": guidance}) for guidance in GUIDANCE),
        ]
    ]
    figures.save(plot(curve), PLOT)
    rows = [
        {
            "name": f"sampling, against {name}",
            "unit": "s for 1,200 mels",
            "ours": ours["seconds"],
            "other": seconds,
            "ratio": seconds / ours["seconds"],
        }
        for name, seconds in alternatives(fold, curve).items()
    ]
    operations = 2 * default.steps * CLIPS * forward_operations(fold.generator.denoiser, fold.generator.config)
    rows[0] |= {"floor": operations / bench.matrix_product(torch.bfloat16)}
    rows[0] |= {"reached": rows[0]["floor"] / ours["seconds"]}
    return {
        "what": f"sampling with {describe(default)}; quality by the {EVALUATOR} classifier of the first fold",
        "floor": "all multiplications at the rate of a bf16 matrix product",
        "versions": bench.versions("torch", "diffusers", "denoising-diffusion-pytorch"),
        "rows": rows,
        "default": ours,
        "curve": curve,
        "mels_per_point": FEW,
    }


def load_first_fold() -> FirstFold:
    device, class_names = setup_torch(), params.read("emotions", list[str])
    dataset = load_dataset(class_names, params.read("split.protocol", str))
    fold = dataset.folds[0]
    clips = dataset.clips(fold.train, device)
    fit_config = params.read("generators.diffusion.fit", DenoiserConfig)
    generator = Diffusion.restore(checkpoints.load("models/generators/diffusion", fold), fit_config).to(device)
    classifier = params.read("classifier", ClassifierConfig).untrained()
    evaluator = build_classifier(classifier, Normaliser.blank(N_MELS), len(class_names), 0).to(device).eval()
    evaluator.load_state_dict(checkpoints.load(f"models/arms/{EVALUATOR}", fold))
    crops = clips.random_crops(torch.arange(len(clips)), fit_config.frames, make_rng(0))
    return FirstFold(
        generator,
        checkpoints.load("data/embeddings", fold)["embeddings"],
        clips.labels.cpu(),
        len(class_names),
        evaluator,
        embed(evaluator, crops),
    )


@torch.inference_mode()
def embed(evaluator: Classifier, mels: Tensor) -> Tensor:
    """Embeddings `[clips, width]` of mels in dB `[clips, 1, n_mels, frames]`."""
    return torch.cat([evaluator.embed(evaluator.normaliser(batch)) for batch in mels.split(64)])


def sample(fold: FirstFold, config: DiffusionSampleConfig, count: int) -> Tensor:
    """Mels in dB, equally many of each emotion, `count` in all."""
    rng, config = make_rng(0), config.model_copy(update={"count": count // fold.n_classes})
    mels = [
        fold.generator.sample(label, fold.embeddings[fold.labels == label], config, rng)
        for label in range(fold.n_classes)
    ]
    normaliser = fold.generator.normaliser
    return normaliser.to_db(torch.cat(mels).to(fold.generator.device))


@torch.inference_mode()
def evaluate(fold: FirstFold, config: DiffusionSampleConfig, count: int) -> dict[str, float]:
    """The time to sample `count` mels, and their quality.

    Quality is the Fréchet distance to the training clips, and the share recognised as the intended emotion.
    """
    mels, seconds = bench.timed(lambda: sample(fold, config, count))
    embeddings = embed(fold.evaluator, mels)
    intended = torch.arange(fold.n_classes, device=mels.device).repeat_interleave(count // fold.n_classes)
    return {
        "seconds": seconds,
        "seconds_per_mel": seconds / count,
        "frechet": sample_metrics.frechet(embeddings.cpu(), fold.reference.cpu()),
        "accuracy": (fold.evaluator.head(embeddings).argmax(1) == intended).float().mean().item(),
    }


def describe(config: DiffusionSampleConfig) -> dict[str, Any]:
    return {"sampler": config.sampler, "steps": config.steps, "guidance": config.guidance}


def alternatives(fold: FirstFold, curve: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds for CLIPS mels with other implementations, each measured on fewer mels."""
    (full,) = (point for point in curve if point["sampler"] == "ddpm" and point["steps"] == 1000)
    cells = cell_shape(fold.generator.config)
    example = diffusers_loop.Loop(UNet2DModel.from_config(fold.generator.denoiser.unet.config), cells)
    package = denoising_diffusion_loop.Loop(cells, steps=STEPS)
    scale = CLIPS / BATCH * 1000 / STEPS
    return {
        "our DDPM, 1,000 steps": full["seconds_per_mel"] * CLIPS,
        "diffusers, DDPM, 1,000 steps, without guidance": bench.timed(lambda: example.sample(BATCH, STEPS))[1] * scale,
        "denoising-diffusion-pytorch, 1,000 steps, without guidance": bench.timed(lambda: package.sample(BATCH))[1]
        * scale,
    }


def plot(curve: list[dict[str, Any]]) -> Figure:
    """Fréchet distance and recognition against the time per mel."""
    figure = Figure(figsize=(figures.WIDTH, 3.6), layout="constrained")
    for axes, (key, label) in zip(
        figure.subplots(1, 2),
        {"frechet": "Fréchet distance to the training clips", "accuracy": "recognised as intended"}.items(),
    ):
        for number, sampler in enumerate(CURVE):
            points = [point for point in curve[: sum(map(len, CURVE.values()))] if point["sampler"] == sampler]
            axes.plot(
                [point["seconds_per_mel"] for point in points],
                [point[key] for point in points],
                label=sampler,
                marker=figures.MARKERS[number],
                color=figures.COLOURS[number],
            )
            for point in points:
                axes.annotate(
                    point["steps"],
                    (point["seconds_per_mel"], point[key]),
                    xytext=(0, 5),
                    fontsize=7,
                    textcoords="offset points",
                    ha="center",
                )
        axes.set(xscale="log", xlabel="seconds per mel on 2 cores; numbers are steps", ylabel=label)
        axes.grid()
    axes.legend()
    return figure


if __name__ == "__main__":
    bench.report(main)
