"""Sampling: quality against time for samplers, steps and guidance, and our default against 1,000 steps of DDPM, ours
and that of two packages. Uses the models of the first fold in the workspace."""

import torch
from diffusers import UNet2DModel
from matplotlib.figure import Figure

from benchmarks import bench
from benchmarks.common import denoising_diffusion_loop, diffusers_loop
from benchmarks.diffusion import forward_operations
from benchmarks.training import N_MELS
from ser.core import checkpoints, params
from ser.core.device import setup_torch
from ser.core.rng import make_rng
from ser.data.clips import Normaliser
from ser.data.dataset import load_dataset
from ser.evaluation import sample_metrics
from ser.generators import diffusion
from ser.models.classifier import ClassifierSettings, build_classifier
from ser.reporting import figures

CLIPS = 1200
FEW = 24  # mels in a point of the curve, and of 1,000 steps
CURVE = {"dpm_solver": [4, 6, 8, 10, 15, 25], "ddim": [10, 25, 50], "ddpm": [50, 1000]}
GUIDANCE = [1.0, 2.0, 3.0, 4.0]
EVALUATOR = "masked"  # its classifier did not make the embeddings that condition the samples; `baseline` did
PLOT = "docs/sampling.png"
STEPS, BATCH = 50, 16  # of the packages' 1,000 steps, all alike; mels at once


def main():
    """Measure the curve and the ratios; write the curve's picture; return the result."""
    fold = first_fold()
    default = params.read("generators.diffusion.sample", diffusion.Sample)
    ours = {"name": "default", **describe(default), **judged(fold, default, CLIPS)}
    curve = [
        {**describe(settings), **judged(fold, settings, FEW)}
        for settings in [
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
    operations = 2 * default.steps * CLIPS * fold["operations"]
    rows[0] |= {"floor": operations / bench.matrix_product(torch.bfloat16)}
    rows[0] |= {"reached": rows[0]["floor"] / ours["seconds"]}
    return {
        "what": f"sampling with {describe(default)}; quality by the {EVALUATOR} classifier of the first fold",
        "floor": "all multiplications at the rate of a bf16 matrix product",
        "versions": bench.versions("torch", "diffusers", "denoising-diffusion-pytorch"),
        "rows": rows,
        "default": ours,
        "curve": curve,
        "mels a point": FEW,
    }


def first_fold():
    """The first fold's denoiser, its conditions, and what its samples are judged by."""
    device, emotions = setup_torch(), params.read("emotions", list[str])
    real = load_dataset(emotions, params.read("split.protocol", str))
    fold = real.folds[0]
    clips, fitted = real.clips(fold.train, device), params.read("generators.diffusion.fit", diffusion.Fit)
    crops = clips.random_crops(torch.arange(len(clips)), fitted.frames, make_rng(0))
    state, weights = (
        checkpoints.load("models/generators/diffusion", fold),
        checkpoints.load(f"models/arms/{EVALUATOR}", fold),
    )
    normalise = Normaliser(state.pop("mean"), state.pop("std"))
    evaluator = Normaliser(weights.pop("mean"), weights.pop("std"))
    chosen = params.read("classifier", ClassifierSettings)
    classifier = build_classifier(chosen, N_MELS, len(emotions), 0).eval()
    classifier.load_state_dict(weights)
    embeddings = checkpoints.load("data/embeddings", fold)["features"]

    def embed(mels):
        return torch.cat([classifier.embed(evaluator(some)) for some in mels.split(64)])

    def draw(settings, count):
        draws, settings = make_rng(0), settings.model_copy(update={"count": count // len(emotions)})
        mels = [
            diffusion.sample(
                state, N_MELS, number, embeddings[clips.emotion == number], fitted, settings, draws, device
            )
            for number in range(len(emotions))
        ]
        return normalise.to_db(torch.cat(mels))

    model = diffusion.load(state, fitted, device)
    return {
        "draw": draw,
        "embed": embed,
        "head": classifier.head,
        "reference": torch.no_grad()(embed)(crops),
        "emotions": len(emotions),
        "unet": model.unet,
        "fitted": fitted,
        "operations": forward_operations(model, fitted),
    }


@torch.inference_mode()
def judged(fold, settings, count):
    """Seconds to draw `count` mels, as many an emotion; their Fréchet distance to the training clips, and the share
    recognised as the emotion that they were drawn for."""
    mels, seconds = bench.timed(lambda: fold["draw"](settings, count))
    features = fold["embed"](mels)
    meant = torch.arange(fold["emotions"]).repeat_interleave(count // fold["emotions"])
    return {
        "seconds": seconds,
        "seconds a mel": seconds / count,
        "frechet": sample_metrics.frechet(features, fold["reference"]),
        "accuracy": (fold["head"](features).argmax(1) == meant).float().mean().item(),
    }


def describe(settings):
    return {"sampler": settings.sampler, "steps": settings.steps, "guidance": settings.guidance}


def alternatives(fold, curve):
    """Seconds for CLIPS mels in other ways, each measured on fewer of them."""
    (full,) = (point for point in curve if point["sampler"] == "ddpm" and point["steps"] == 1000)
    cells = (fold["fitted"].patch ** 2, N_MELS // fold["fitted"].patch, fold["fitted"].frames // fold["fitted"].patch)
    theirs = diffusers_loop.Loop(UNet2DModel.from_config(fold["unet"].config), cells)
    packaged = denoising_diffusion_loop.Loop(cells, steps=STEPS)
    scale = CLIPS / BATCH * 1000 / STEPS
    return {
        "our DDPM, 1,000 steps": full["seconds a mel"] * CLIPS,
        "diffusers, DDPM, 1,000 steps, without guidance": bench.timed(lambda: theirs.sample(BATCH, STEPS))[1] * scale,
        "denoising-diffusion-pytorch, 1,000 steps, without guidance": bench.timed(lambda: packaged.sample(BATCH))[1]
        * scale,
    }


def plot(curve):
    """Fréchet distance and recognition against the time of a mel."""
    figure = Figure(figsize=(figures.WIDTH, 3.6), layout="constrained")
    for axes, (key, label) in zip(
        figure.subplots(1, 2),
        {"frechet": "Fréchet distance to the training clips", "accuracy": "recognised as meant"}.items(),
    ):
        for number, sampler in enumerate(CURVE):
            points = [point for point in curve[: sum(map(len, CURVE.values()))] if point["sampler"] == sampler]
            axes.plot(
                [point["seconds a mel"] for point in points],
                [point[key] for point in points],
                label=sampler,
                marker=figures.MARKERS[number],
                color=figures.COLOURS[number],
            )
            for point in points:
                axes.annotate(
                    point["steps"],
                    (point["seconds a mel"], point[key]),
                    xytext=(0, 5),
                    fontsize=7,
                    textcoords="offset points",
                    ha="center",
                )
        axes.set(xscale="log", xlabel="seconds a mel on 2 cores, numbers are steps", ylabel=label)
        axes.grid()
    axes.legend()
    return figure


if __name__ == "__main__":
    bench.report(main)
