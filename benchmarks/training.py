"""Training a classifier: ours against the common loop, a clip and update, and how far both are from the machine."""

import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import bench
from benchmarks.common import classifier_loop
from ser.core import params
from ser.core.device import setup_torch
from ser.data.clips import Clips
from ser.models.classifier import ClassifierSettings, build_classifier
from ser.training import loop
from ser.training.arms import Arm

EMOTIONS, N_MELS, PADDED = 6, 80, 431  # frames in 10 s
ROUNDS = 2


def main():
    """Time the loops in turn, each in a process of its own; return the result."""
    loops = {"default": bench.child(ours, 64), "large": bench.child(ours, 12, True), "common": bench.child(common, 8)}
    rate = {name: 1 / median(seconds) for name, seconds in bench.in_turn(loops, ROUNDS).items()}
    ceiling = bench.matrix_product(torch.bfloat16)
    rows = []
    for name, classifier in {"default": settings(False), "large": settings(True)}.items():
        operations = 3 * forward_operations(classifier)
        rows.append(
            {
                "name": "ResNet-18, training at "
                + ("224 x 224" if classifier.resize else f"{N_MELS} x {classifier.frames}"),
                "unit": "clips/s",
                "ours": rate[name],
                "other": rate["common"],
                "ratio": rate[name] / rate["common"],
                "floor": ceiling / operations,
                "reached": rate[name] * operations / ceiling,
            }
        )
    return {
        "what": "training a classifier, against a Dataset of one .npy a clip, 3 x 224 x 224, DataLoader, fp32",
        "floor": "all multiplications of forward and backward at the rate of a bf16 matrix product",
        "versions": bench.versions("torch", "torchvision"),
        "rows": rows,
    }


def settings(large):
    classifier = params.read("classifier", ClassifierSettings)
    size = {"resize": 224, "frames": PADDED} if large else {"frames": 128}
    return classifier.model_copy(update={"arch": "resnet18", **size})


def ours(updates, large=False):
    """Seconds a clip of our training, its validation included."""
    setup_torch()
    recipe, classifier = params.read("training", loop.Training).model_copy(update={"epochs": 1}), settings(large)
    masking = params.read("arms.baseline", Arm).masking

    def seconds(updates):
        model, clips, few = build_classifier(classifier, N_MELS, EMOTIONS, 0), noise(updates * recipe.batch), noise(8)
        arguments = clips.normaliser(), loop.Sources(clips), few, classifier.frames, recipe, masking, 0
        return bench.timed(lambda: loop.fit(model, *arguments, lambda _: None))[1]

    seconds(3)
    return seconds(updates) / (updates * recipe.batch)


def common(updates):
    """Seconds a clip of the common loop."""
    clips = noise(512)
    with tempfile.TemporaryDirectory() as folder:
        loop = classifier_loop.Loop(one_file_a_clip(clips, folder), clips.emotion.tolist(), EMOTIONS)
        loop.run(3)
        return bench.timed(lambda: loop.run(updates))[1] / (updates * classifier_loop.BATCH)


def noise(count):
    """Clips of 80 to 200 frames, as Clips."""
    rng = np.random.default_rng(0)
    length = rng.integers(80, 200, count)
    frames = rng.uniform(-80, 0, (length.sum(), N_MELS)).astype(np.float16)
    tensors = frames, np.cumsum(length) - length, length, np.arange(count) % EMOTIONS
    return Clips(*map(torch.as_tensor, tensors))


def one_file_a_clip(clips, folder):
    files = []
    for number, mel in enumerate(clips.crops(torch.arange(len(clips)), PADDED, 0.0)):
        files.append(Path(folder) / f"{number}.npy")
        np.save(files[-1], mel[0].numpy())
    return files


def forward_operations(classifier):
    """Floating-point operations of one clip's forward pass."""
    model = build_classifier(classifier, N_MELS, EMOTIONS, 0).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 1, N_MELS, classifier.frames))
    return counter.get_total_flops()


if __name__ == "__main__":
    bench.report(main)
