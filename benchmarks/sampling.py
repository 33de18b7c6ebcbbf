"""Sampling: quality against time for the steps and the guidance of `diffusion`, and the U-Net against packages.

The quality is that of the generator of the first fold in the workspace. The U-Net of the replications is timed
without training: its default against 1,000 steps of DDPM, ours and those of two packages.
"""

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DModel
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks import bench
from benchmarks.common import denoising_diffusion_loop, diffusers_loop
from benchmarks.diffusion import CONDITION_WIDTH, EMBEDDING_WIDTH, cell_shape, forward_operations
from benchmarks.training import N_MELS
from ser.core import checkpoints, params
from ser.core.device import setup_torch
from ser.core.fold import Run
from ser.core.rng import make_rng
from ser.data.clips import Normaliser, clips_from_mels, trimmed
from ser.data.dataset import load_dataset
from ser.evaluation import sample_metrics
from ser.generators.diffusion import Diffusion
from ser.generators.flow import FlowConfig, FlowSampleConfig
from ser.generators.unet import UNetConfig, UNetSampleConfig
from ser.generators.unet_diffusion import UNetDiffusion
from ser.models.classifier import Classifier, ClassifierConfig, build_classifier
from ser.models.classifier import evaluate as outputs_of
from ser.reporting import figures

CLIPS = 1200
FEW = 24  # mels of the U-Net for 1,000 steps
PER_POINT = 240  # mels for a point of the curve
STEPS = [1, 2, 3, 4, 6, 8, 12, 24]
GUIDANCE = [1.0, 1.25, 1.5, 2.0, 3.0]
EVALUATOR = "augmented"  # the arm whose classifier evaluates the samples
PLOT = "docs/sampling.png"
PACKAGE_STEPS, BATCH = 50, 16  # of the packages: steps that are timed of their 1,000 equal ones, and mels at a time


@dataclass(frozen=True)
class FirstFold:
    """The generator of the first fold, and what its samples are evaluated with."""

    generator: Diffusion
    n_classes: int
    evaluator: Classifier
    frames: int  # of the evaluator's crops
    trim_db: float | None
    reference: Tensor  # [clips, width], embeddings of the training clips by the evaluator


def main() -> dict[str, Any]:
    """Measure the curve and the ratios; draw the curve; return the result."""
    fold = load_first_fold()
    default = params.read("generators.diffusion.sample", FlowSampleConfig)
    curve = [
        {**describe(config), **evaluate(fold, config, PER_POINT)}
        for config in [
            *(default.model_copy(update={"steps": steps}) for steps in STEPS),
            *(default.model_copy(update={"guidance": guidance}) for guidance in GUIDANCE),
        ]
    ]
    figures.save(plot(curve), PLOT)
    return {
        "what": f"the U-Net's default; the generator by the {EVALUATOR} classifier of the first fold",
        "floor": "all multiplications at the rate of a bf16 matrix product",
        "versions": bench.versions("torch", "diffusers", "denoising-diffusion-pytorch"),
        "rows": against_packages(),
        "default": {"name": "default", **describe(default), **evaluate(fold, default, CLIPS)},
        "curve": curve,
        "mels_per_point": PER_POINT,
    }


def load_first_fold() -> FirstFold:
    device, class_names = setup_torch(), params.read("emotions", list[str])
    torch.set_num_threads(bench.machine()["cores"])
    dataset = load_dataset(class_names, params.read("split.protocol", str))
    fold = dataset.folds[0]
    fit_config = params.read("generators.diffusion.fit", FlowConfig)
    generator = Diffusion.restore(checkpoints.load("models/generators/diffusion", fold), fit_config)
    classifier = params.read("classifier", ClassifierConfig).untrained()
    evaluator = build_classifier(classifier, Normaliser.blank(N_MELS), len(class_names), 0).to(device).eval()
    evaluator.load_state_dict(checkpoints.load(f"models/arms/{EVALUATOR}", Run.of(fold, 0)))
    reference = outputs_of(evaluator, dataset.clips(fold.train, device), classifier.frames, "fp32", embed=True)
    trim_db = params.read("audio.trim_db", float | None)
    return FirstFold(generator.to(device), len(class_names), evaluator, classifier.frames, trim_db, reference)


def sample(fold: FirstFold, config: FlowSampleConfig, count: int) -> list[Tensor]:
    """Mels in dB as the stage `sample` makes them, equally many of each emotion, `count` in all."""
    rng, config = make_rng(0), config.model_copy(update={"count": count // fold.n_classes})
    generator, none = fold.generator, torch.empty(0)
    mels = [mel for label in range(fold.n_classes) for mel in generator.sample(label, none, config, rng)]
    return [trimmed(generator.normaliser.to_db(mel.to(generator.device)), fold.trim_db) for mel in mels]


@torch.inference_mode()
def evaluate(fold: FirstFold, config: FlowSampleConfig, count: int) -> dict[str, float]:
    """The time to sample `count` mels, and their quality.

    Quality is the Fréchet distance to the training clips, and the share recognised as the intended emotion.
    """
    mels, seconds = bench.timed(lambda: sample(fold, config, count))
    intended = torch.arange(fold.n_classes, device=fold.generator.device).repeat_interleave(count // fold.n_classes)
    clips = clips_from_mels(mels, intended)
    embeddings = outputs_of(fold.evaluator, clips, fold.frames, "fp32", embed=True)
    recognised = fold.evaluator.head(embeddings.to(clips.device)).argmax(1)
    return {
        "seconds": seconds,
        "seconds_per_mel": seconds / count,
        "frechet": sample_metrics.frechet(embeddings, fold.reference),
        "accuracy": (recognised == intended).float().mean().item(),
    }


def describe(config: FlowSampleConfig) -> dict[str, Any]:
    return {"sampler": "Heun", "steps": config.steps, "guidance": config.guidance}


def against_packages() -> list[dict[str, Any]]:
    """Rows of the U-Net's default for CLIPS mels; other implementations are measured on fewer mels."""
    config = params.read("generators.unet_diffusion.fit", UNetConfig)
    default = params.read("generators.unet_diffusion.sample", UNetSampleConfig)
    generator = UNetDiffusion(config, Normaliser.blank(N_MELS), CONDITION_WIDTH).to(setup_torch()).eval()

    def seconds(count: int, **change: Any) -> float:
        """To draw `count` mels."""
        embeddings, changed = torch.zeros(count, EMBEDDING_WIDTH), {"count": count} | change
        return bench.timed(lambda: generator.sample(0, embeddings, default.model_copy(update=changed), make_rng(0)))[1]

    cells = cell_shape(config)
    example = diffusers_loop.Loop(UNet2DModel.from_config(generator.unet.unet.config), cells)
    package = denoising_diffusion_loop.Loop(cells, steps=PACKAGE_STEPS)
    scale = CLIPS / BATCH * 1000 / PACKAGE_STEPS
    ours = seconds(CLIPS)
    others = {
        "our DDPM, 1,000 steps": seconds(FEW, sampler="ddpm", steps=1000) / FEW * CLIPS,
        "diffusers, DDPM, 1,000 steps, without guidance": scale
        * bench.timed(lambda: example.sample(BATCH, PACKAGE_STEPS))[1],
        "denoising-diffusion-pytorch, 1,000 steps, without guidance": scale
        * bench.timed(lambda: package.sample(BATCH))[1],
    }
    rows = [
        {
            "name": f"sampling, against {name}",
            "unit": "s for 1,200 mels",
            "ours": ours,
            "other": other,
            "ratio": other / ours,
        }
        for name, other in others.items()
    ]
    operations = 2 * default.steps * CLIPS * forward_operations(generator.unet, config)
    rows[0] |= {"floor": operations / bench.matrix_product(torch.bfloat16)}
    rows[0] |= {"reached": rows[0]["floor"] / ours}
    return rows


def plot(curve: list[dict[str, Any]]) -> Figure:
    """Fréchet distance and recognition against the time per mel, by steps, and against the guidance."""
    figure = Figure(figsize=(figures.WIDTH, 5.4), layout="constrained")
    series = {
        "steps": (curve[: len(STEPS)], "seconds_per_mel", "seconds per mel on 2 cores; numbers are steps"),
        "guidance": (curve[len(STEPS) :], "guidance", "guidance"),
    }
    metrics = {"frechet": "Fréchet distance", "accuracy": "recognised as intended"}
    for row, (varied, (points, place, label)) in zip(figure.subplots(2, 2), series.items()):
        for axes, (metric, name) in zip(row, metrics.items()):
            places, values = ([point[key] for point in points] for key in (place, metric))
            axes.plot(places, values, marker=figures.MARKERS[0], color=figures.COLOURS[0])
            for point, *position in zip(points, places, values):
                axes.annotate(
                    point[varied], position, xytext=(0, 5), fontsize=7, textcoords="offset points", ha="center"
                )
            axes.set(xlabel=label, ylabel=name)
            axes.grid()
            axes.margins(y=0.12)
    return figure


if __name__ == "__main__":
    bench.report(main)
