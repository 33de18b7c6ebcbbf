"""The model that `ser predict` and the app load: an arm trained once more, on all clips (models/export)."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from pydantic import NonNegativeInt
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
from ser.models.classifier import ClassifierConfig, build_classifier
from ser.models.exported import FOLDER, Network
from ser.training import loop
from ser.training.arms import ArmTrainingConfig
from ser.training.augmentation import AugmentationConfig

TOLERANCE = 1e-4  # of probabilities by ONNX, compared with those by torch
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
    network = Network(model.cpu()).eval()
    facts = {
        "arm": arm,
        "trained_on": {"clips": len(clips), "synthetic": len(extra) if extra else 0},
        "params": used,
        "versions": {package: version(package) for package in PACKAGES},
    }
    checkpoints.save(f"{FOLDER}/model", network.state_dict(), facts)
    first = torch.arange(min(32, len(clips)), device=device)
    crops = clips.crops(first, classifier.frames, 0.5)[:, 0].cpu()
    with replacing(f"{FOLDER}/model.onnx") as temporary:
        write_onnx(network, crops, temporary)


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
