"""Synthetic mels of every emotion and fold, packed like real ones, in dB: data/synthetic/GENERATOR."""

import importlib
import sys

import torch
from pydantic import NonNegativeInt

from ser import compute, packs, params, store, study, units
from ser.batches import Normaliser
from ser.runtime import progress, stage


def main(name):
    generator = importlib.import_module(f"ser.generators.{name}")
    fitted = params.read(f"generators.{name}.fit", generator.Fit)
    settings = params.read(f"generators.{name}.sample", generator.Sample)
    seed = params.read("seed", NonNegativeInt)
    real = study.load(params.read("emotions", list[str]), params.read("split.protocol", str))
    device = compute.device()

    def work(fold, folder):
        embeddings = store.load("data/embeddings", fold)["features"]
        state = store.load(f"models/generators/{name}", fold)
        normalise = Normaliser(state.pop("mean"), state.pop("std"))
        emotion = torch.tensor([real.emotions.index(real.emotion[clip]) for clip in fold.train])

        def clips():
            for number, label in enumerate(real.emotions):
                draws = compute.generator(compute.derive_seed(seed, fold.repeat, fold.fold, 3, number))
                mels = generator.sample(
                    state, len(normalise.mean), number, embeddings[emotion == number], fitted, settings, draws, device
                )
                for take, mel in enumerate(normalise.to_db(mels[:, 0])):
                    row = {
                        "clip": f"{name}/{fold.name}/{label}-{take:04d}", "repeat": fold.repeat, "fold": fold.fold,
                        "emotion": label, "training": fold.training_digest,
                    }
                    yield row, mel.T.numpy()

        total = len(real.emotions) * settings.count
        packs.write(folder / "pack", progress(clips(), unit="clip", total=total))

    def gather(folders):
        packs.join(f"data/synthetic/{name}", [folder / "pack" for folder in folders])

    files = [*study.FILES, "data/embeddings.safetensors", f"models/generators/{name}.safetensors"]
    ingredients = [fitted, settings, seed, real.emotions]
    units.run(f"sample-{name}", real.folds, work, ingredients, files, gather)


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
