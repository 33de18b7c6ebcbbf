"""Training a classifier: ours against the common loop, per clip, and how far both are from what the machine can do."""

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import bench
from benchmarks.common import classifier_loop
from ser.core import params
from ser.core.device import setup_torch
from ser.core.optim import ignore
from ser.data.clips import Clips, Normaliser
from ser.models.classifier import ClassifierConfig, build_classifier
from ser.training import loop
from ser.training.augmentation import AugmentationConfig

N_CLASSES, N_MELS, PADDED = 6, 80, 431  # frames in 10 s
ROUNDS = 2


def main() -> dict[str, Any]:
    """Time the loops in turn, each in a process of its own; return the result."""
    loops = {"default": bench.child(ours, 64), "large": bench.child(ours, 12, True), "common": bench.child(common, 8)}
    rate = {name: 1 / median(seconds) for name, seconds in bench.in_turn(loops, ROUNDS).items()}
    ceiling = bench.matrix_product(torch.bfloat16)
    rows = []
    for name, config in {"default": classifier_config(False), "large": classifier_config(True)}.items():
        operations = 3 * forward_operations(config)
        rows.append(
            {
                "name": "ResNet-18, training at " + ("224 x 224" if config.resize else f"{N_MELS} x {config.frames}"),
                "unit": "clips/s",
                "ours": rate[name],
                "other": rate["common"],
                "ratio": rate[name] / rate["common"],
                "floor": ceiling / operations,
                "reached": rate[name] * operations / ceiling,
            }
        )
    return {
        "what": "training a classifier, against a Dataset of one .npy per clip, 3 x 224 x 224, DataLoader, fp32",
        "floor": "all multiplications of forward and backward at the rate of a bf16 matrix product",
        "versions": bench.versions("torch", "torchvision"),
        "rows": rows,
    }


def classifier_config(large: bool) -> ClassifierConfig:
    config = params.read("classifier", ClassifierConfig)
    size = {"resize": 224, "frames": PADDED} if large else {"frames": 128}
    return config.model_copy(update={"arch": "resnet18", **size})


def ours(updates: int, large: bool = False) -> float:
    """Seconds per clip of our training, its validation included."""
    setup_torch()
    torch.set_num_threads(bench.machine()["cores"])
    training = params.read("training", loop.TrainingConfig).model_copy(update={"epochs": 1})
    augmentation = params.read("augmentation.baseline", AugmentationConfig)
    classifier = classifier_config(large)

    def seconds(updates: int) -> float:
        clips, validation = noise_clips(updates * training.batch), noise_clips(8)
        model = build_classifier(classifier, clips.normaliser(), N_CLASSES, 0)
        arguments = model, loop.Sources(clips), validation, classifier.frames, training, augmentation, 0, ignore
        return bench.timed(lambda: loop.train(*arguments))[1]

    seconds(3)
    return seconds(updates) / (updates * training.batch)


def common(updates: int) -> float:
    """Seconds per clip of the common loop."""
    clips = noise_clips(512)
    with tempfile.TemporaryDirectory() as folder:
        common_loop = classifier_loop.Loop(one_file_per_clip(clips, folder), clips.labels.tolist(), N_CLASSES)
        common_loop.run(3)
        return bench.timed(lambda: common_loop.run(updates))[1] / (updates * classifier_loop.BATCH)


def noise_clips(count: int) -> Clips:
    """Clips of noise, of 80 to 200 frames."""
    rng = np.random.default_rng(0)
    length = rng.integers(80, 200, count)
    frames = rng.uniform(-80, 0, (length.sum(), N_MELS)).astype(np.float16)
    tensors = frames, np.cumsum(length) - length, length, np.arange(count) % N_CLASSES
    return Clips(*map(torch.as_tensor, tensors))


def one_file_per_clip(clips: Clips, folder: str) -> list[Path]:
    files = []
    for number, mel in enumerate(clips.crops(torch.arange(len(clips)), PADDED, 0.0)):
        files.append(Path(folder) / f"{number}.npy")
        np.save(files[-1], mel[0].numpy())
    return files


def forward_operations(config: ClassifierConfig) -> int:
    """Floating-point operations of the forward pass of one clip."""
    model = build_classifier(config, Normaliser.blank(N_MELS), N_CLASSES, 0).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 1, N_MELS, config.frames))
    return counter.get_total_flops()


if __name__ == "__main__":
    bench.report(main)
