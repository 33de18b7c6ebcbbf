"""An arm trained once more, on all clips, to be used: models/export (weights, ONNX, configuration)."""

import sys
from importlib.metadata import version

import onnxruntime
import torch
from pydantic import NonNegativeInt

from ser import arms, classifiers, compute, exported, params, store, study, synthetic, training
from ser.classifiers import ClassifierSettings
from ser.errors import InputError
from ser.runtime import doing, replacing, stage

TOLERANCE = 1e-4  # of probabilities by ONNX, beside those by torch
PACKAGES = "torch", "torchvision", "numpy"


def main(name):
    arm = params.read(f"arms.{name}", arms.Arm)
    classifier = params.read("classifier", ClassifierSettings)
    settings = params.read("training", training.Training)
    seed = params.read("seed", NonNegativeInt)
    real = study.load(params.read("emotions", list[str]), params.read("split.protocol", str))
    used = {
        "emotions": real.emotions,
        "audio": params.read("audio", dict),
        "mels": params.read("mels", dict),
        "classifier": classifier.model_copy(update={"pretrained": "none"}).model_dump(),
    }
    device = compute.device()
    clips = real.clips([clip for clip, emotion in real.emotion.items() if emotion in real.emotions], device)
    normalise = clips.normaliser()
    extra = synthetic.everything(f"data/synthetic/{name}", real.emotions, device) if arm.share else None
    model = classifiers.build(classifier, len(normalise.mean), len(real.emotions), compute.derive_seed(seed, 10))
    with doing("export"):
        training.fit(
            model,
            normalise,
            training.Sources(clips, extra, arm.share),
            None,
            classifier.frames,
            settings,
            arm.masking,
            compute.derive_seed(seed, 11),
            lambda figures: None,
        )

    untrained = params.check(used["classifier"], ClassifierSettings)
    network = exported.Network(untrained, len(normalise.mean), len(real.emotions))
    network.classifier.load_state_dict(model.cpu().state_dict())
    network.mean[:], network.std[:] = normalise.tensors().values()
    facts = {
        "arm": name,
        "trained_on": {"clips": len(clips), "synthetic": len(extra) if extra else 0},
        "params": used,
        "versions": {package: version(package) for package in PACKAGES},
    }
    store.save(f"{exported.FOLDER}/model", network.state_dict(), facts)
    some = clips.crops(torch.arange(min(32, len(clips)), device=device), classifier.frames, 0.5)[:, 0].cpu()
    with replacing(f"{exported.FOLDER}/model.onnx") as temporary:
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
