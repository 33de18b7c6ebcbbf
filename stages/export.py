"""The model that `ser predict` and the app load: an arm trained once more, on all clips (models/export).

The arm's predictions for test speakers calibrate it: clips that it was not trained on are not left.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from pydantic import NonNegativeInt
from scipy.special import softmax
from torch import Tensor

from ser.core import checkpoints, params
from ser.core.atomic import replacing
from ser.core.device import setup_torch
from ser.core.errors import InputError
from ser.core.optim import ignore
from ser.core.rng import Stream, derive_seed
from ser.core.stage import doing, stage
from ser.data import synthetic
from ser.data.dataset import load_dataset
from ser.evaluation import calibration
from ser.evaluation.predictions import read_predictions, result
from ser.models.classifier import ClassifierConfig, build_classifier
from ser.models.exported import FOLDER, Network
from ser.training import loop
from ser.training.arms import ArmTrainingConfig
from ser.training.augmentation import AugmentationConfig

TOLERANCE = 1e-4  # of probabilities by ONNX, compared with those by torch
HALVED = 1e-3  # of probabilities with weights in half precision, compared with single precision
PACKAGES = "torch", "torchvision", "numpy"


def main(arm: str) -> None:
    recipe = json.loads(Path(f"models/arms/{arm}.json").read_text())
    classifier = params.read("classifier", ClassifierConfig)
    training = params.read("training", ArmTrainingConfig)
    seed = params.read("seed", NonNegativeInt)
    class_names = params.read("emotions", list[str])
    dataset = load_dataset(class_names, params.read("split.protocol", str))
    used = {
        "emotions": class_names,
        "audio": params.read("audio", dict),
        "mels": params.read("mels", dict),
        "classifier": classifier.untrained().model_dump(),
    }
    device = setup_torch()
    clips = dataset.clips([clip for clip, emotion in dataset.emotion_of.items() if emotion in class_names], device)
    extra = synthetic.all_clips(f"data/synthetic/{arm}", class_names, device) if recipe["share"] else None
    weights_seed = derive_seed(seed, Stream.EXPORT_WEIGHTS)
    model = build_classifier(classifier, clips.normaliser(), len(class_names), weights_seed)
    with doing("export"):
        loop.train(
            model,
            loop.Sources(clips, extra, recipe["share"]),
            None,
            classifier.frames,
            training,
            AugmentationConfig(**recipe["augmentation"]),
            derive_seed(seed, Stream.EXPORT_TRAINING),
            ignore,
        )
    accuracy = params.read("export.accuracy", float)
    temperature, unsure_below = calibrate(arm, class_names, accuracy)
    network = Network(model.cpu(), temperature).eval()
    first = torch.arange(min(32, len(clips)), device=device)
    crops = clips.crops(first, classifier.frames, 0.5)[:, 0].cpu()
    weights = halved(network, crops)
    facts = {
        "arm": arm,
        "accuracy": accuracy,
        "unsure_below": unsure_below,
        "trained_on": {"clips": len(clips), "synthetic": len(extra) if extra else 0},
        "params": used,
        "versions": {package: version(package) for package in PACKAGES},
    }
    checkpoints.save(f"{FOLDER}/model", weights, facts)
    with replacing(f"{FOLDER}/model.onnx") as temporary:
        write_onnx(network, crops, temporary)


def calibrate(arm: str, class_names: list[str], accuracy: float) -> tuple[float, float]:
    """The temperature of an arm, and the probability below which its calibrated answers are unsure."""
    path = result(f"metrics/predictions/{arm}.csv", arm, "export")
    table = read_predictions(path, class_names)
    labels = table["emotion"].map(class_names.index).to_numpy()
    log_probabilities = np.log(table[class_names].to_numpy().clip(min=1e-6))
    temperature = calibration.temperature(log_probabilities, labels)
    calibrated = softmax(log_probabilities / temperature, axis=1)
    threshold = calibration.threshold(calibrated.max(axis=1), calibrated.argmax(axis=1) == labels, accuracy)
    return temperature, round(threshold, 4)


def halved(network: Network, crops: Tensor) -> dict[str, Tensor]:
    """The state of `network` with matrices in half precision, if that changes no probability by HALVED or more.

    The network then has it too; otherwise the state is what it was. Vectors, which are small and matter more, stay in
    single precision. Probabilities are compared on `crops` [n, n_mels, frames].
    """
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    half = {name: tensor.half() if tensor.dim() > 1 else tensor for name, tensor in state.items()}
    with torch.inference_mode():
        before = network(crops)
        network.load_state_dict(half)
        if float((network(crops) - before).abs().max()) < HALVED:
            return half
    network.load_state_dict(state)
    return state


def write_onnx(network: Network, crops: Tensor, path: Path) -> None:
    """Write `network` for batches of any size, and compare it with torch on `crops` [n, n_mels, frames].

    Raises InputError where they disagree.
    """
    import onnxruntime  # after `ser`, which switches its telemetry off

    program = torch.onnx.export(
        network,
        (crops[:2],),
        dynamo=True,
        verbose=False,
        input_names=["crops"],
        output_names=["probabilities"],
        dynamic_shapes={"crops": {0: torch.export.Dim("batch")}},
    )
    assert program is not None, "a program is returned with dynamo=True"
    for node in program.model.graph:
        node.metadata_props.clear()  # names of files on this machine
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(None, {"crops": crops.numpy()})
    with torch.inference_mode():
        error = float((network(crops) - torch.from_numpy(probabilities)).abs().max())
    if not error <= TOLERANCE:
        raise InputError(f"{path}: ONNX is {error:.1e} off the probabilities of torch; report this with your versions")


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
