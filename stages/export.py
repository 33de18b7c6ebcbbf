"""An arm trained once more, on all clips, to be used: models/export (weights, ONNX, configuration)."""

import sys
from importlib.metadata import version

import onnxruntime
import torch
from pydantic import NonNegativeInt

from ser.core import checkpoints, params
from ser.core.atomic import replacing
from ser.core.device import setup_torch
from ser.core.errors import InputError
from ser.core.rng import derive_seed
from ser.core.stage import doing, stage
from ser.data import synthetic
from ser.data.dataset import load_dataset
from ser.models.classifier import ClassifierSettings, build_classifier
from ser.models.exported import FOLDER, Network
from ser.training import arms, loop

TOLERANCE = 1e-4  # of probabilities by ONNX, beside those by torch
PACKAGES = "torch", "torchvision", "numpy"


def main(name):
    arm = params.read(f"arms.{name}", arms.Arm)
    classifier = params.read("classifier", ClassifierSettings)
    settings = params.read("training", loop.Training)
    seed = params.read("seed", NonNegativeInt)
    real = load_dataset(params.read("emotions", list[str]), params.read("split.protocol", str))
    used = {
        "emotions": real.emotions,
        "audio": params.read("audio", dict),
        "mels": params.read("mels", dict),
        "classifier": classifier.model_copy(update={"pretrained": "none"}).model_dump(),
    }
    device = setup_torch()
    clips = real.clips([clip for clip, emotion in real.emotion.items() if emotion in real.emotions], device)
    normalise = clips.normaliser()
    extra = synthetic.everything(f"data/synthetic/{name}", real.emotions, device) if arm.share else None
    model = build_classifier(classifier, len(normalise.mean), len(real.emotions), derive_seed(seed, 10))
    with doing("export"):
        loop.fit(
            model,
            normalise,
            loop.Sources(clips, extra, arm.share),
            None,
            classifier.frames,
            settings,
            arm.masking,
            derive_seed(seed, 11),
            lambda figures: None,
        )

    untrained = params.check(used["classifier"], ClassifierSettings)
    network = Network(untrained, len(normalise.mean), len(real.emotions))
    network.classifier.load_state_dict(model.cpu().state_dict())
    network.mean[:], network.std[:] = normalise.tensors().values()
    facts = {
        "arm": name,
        "trained_on": {"clips": len(clips), "synthetic": len(extra) if extra else 0},
        "params": used,
        "versions": {package: version(package) for package in PACKAGES},
    }
    checkpoints.save(f"{FOLDER}/model", network.state_dict(), facts)
    some = clips.crops(torch.arange(min(32, len(clips)), device=device), classifier.frames, 0.5)[:, 0].cpu()
    with replacing(f"{FOLDER}/model.onnx") as temporary:
        write_onnx(network.eval(), some, temporary)


def write_onnx(network, crops, path):
    """Write `network` for batches of any size, and compare it with torch on `crops` [n, n_mels, frames].

    Raises InputError where they disagree.
    """
    program = torch.onnx.export(
        network,
        (crops[:2],),
        dynamo=True,
        verbose=False,
        input_names=["crops"],
        output_names=["probabilities"],
        dynamic_shapes={"crops": {0: torch.export.Dim("batch")}},
    )
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
