"""Synthetic mels of every emotion and fold, packed like real ones, in dB: data/synthetic/GENERATOR.

They are kept as drawn, or only where the fold's own baseline recognises the emotion that they were drawn for."""

import importlib
import sys

import torch
from pydantic import NonNegativeInt

from ser.core import checkpoints, fold_jobs, params
from ser.core.device import Precision, setup_torch
from ser.core.errors import InputError
from ser.core.rng import derive_seed, make_rng
from ser.core.stage import progress, stage
from ser.data import mel_store
from ser.data.clips import Normaliser
from ser.data.dataset import FILES, load_dataset
from ser.models import baseline
from ser.models.classifier import ClassifierSettings

ROUNDS = 20  # of `count` clips each, out of which the baseline must recognise `count`


def main(name):
    generator = importlib.import_module(f"ser.generators.{name}")
    fitted = params.read(f"generators.{name}.fit", generator.Fit)
    settings = params.read(f"generators.{name}.sample", generator.Sample)
    only_recognised = params.read(f"generators.{name}.recognised", bool)
    classifier = params.read("classifier", ClassifierSettings)
    precision = params.read("training.precision", Precision)
    seed = params.read("seed", NonNegativeInt)
    real = load_dataset(params.read("emotions", list[str]), params.read("split.protocol", str))
    device = setup_torch()

    def work(fold, folder):
        embeddings = checkpoints.load("data/embeddings", fold)["features"]
        state = checkpoints.load(f"models/generators/{name}", fold)
        normalise = Normaliser(state.pop("mean"), state.pop("std"))
        emotion = torch.tensor([real.emotions.index(real.emotion[clip]) for clip in fold.train])

        if only_recognised:
            recognised = baseline.recogniser(fold, classifier, len(real.emotions), precision, device)

        def draw(number, turn=0):
            own = derive_seed(seed, fold.repeat, fold.fold, 3, number + turn * len(real.emotions))
            mels = generator.sample(
                state,
                len(normalise.mean),
                number,
                embeddings[emotion == number],
                fitted,
                settings,
                make_rng(own),
                device,
            )
            return normalise.to_db(mels[:, 0])

        def draw_recognised(number, label):
            kept = []
            for turn in range(ROUNDS):
                kept.extend(recognised(draw(number, turn), number))
                if len(kept) >= settings.count:
                    return kept[: settings.count]
            raise InputError(
                f"params.yaml: key `generators.{name}.recognised`: the baseline of repeat {fold.repeat} fold "
                f"{fold.fold} recognised {len(kept)} of {ROUNDS * settings.count} clips that {name} drew for {label}, "
                f"{settings.count} are wanted; set it to false, or let {name} draw emotions more clearly, for instance "
                "with more `guidance`, less `spread` or more `updates`"
            )

        def clips():
            for number, label in enumerate(real.emotions):
                mels = draw_recognised(number, label) if only_recognised else draw(number)
                for take, mel in enumerate(mels):
                    row = {
                        "clip": f"{name}/{fold.name}/{label}-{take:04d}",
                        "repeat": fold.repeat,
                        "fold": fold.fold,
                        "emotion": label,
                        "training": fold.training_digest,
                    }
                    yield row, mel.T.numpy()

        total = len(real.emotions) * settings.count
        mel_store.write(folder / "pack", progress(clips(), unit="clip", total=total))

    def gather(folders):
        mel_store.join(f"data/synthetic/{name}", [folder / "pack" for folder in folders])

    files = [*FILES, "data/embeddings.safetensors", f"models/generators/{name}.safetensors"]
    if only_recognised:
        files.append("models/arms/baseline.safetensors")
    ingredients = [fitted, settings, only_recognised, classifier, precision, seed, real.emotions]
    fold_jobs.run(f"sample-{name}", real.folds, work, ingredients, files, gather)


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
