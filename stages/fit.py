"""A generator fitted to every fold's training clips and their embeddings: models/generators/GENERATOR, and its loss in
metrics/losses/GENERATOR.csv."""

import importlib
import sys

from pydantic import NonNegativeInt

from ser.core import checkpoints, fold_jobs, params, tracking
from ser.core.atomic import replacing
from ser.core.device import setup_torch
from ser.core.rng import derive_seed
from ser.core.stage import stage
from ser.data.dataset import FILES, load_dataset


def main(name):
    generator = importlib.import_module(f"ser.generators.{name}")
    settings = params.read(f"generators.{name}.fit", generator.Fit)
    seed = params.read("seed", NonNegativeInt)
    real = load_dataset(params.read("emotions", list[str]), params.read("split.protocol", str))
    device = setup_torch()

    def work(fold, folder):
        embeddings = checkpoints.load("data/embeddings", fold)
        clips = real.clips(fold.train, device)
        normalise = clips.normaliser()
        with tracking.live(folder / "live") as log:
            state = generator.fit(
                clips,
                normalise,
                embeddings["features"],
                settings,
                derive_seed(seed, fold.repeat, fold.fold, 2),
                log,
            )
        checkpoints.save(folder / "model", state | normalise.tensors(), {"training": fold.training_digest})

    def gather(folders):
        checkpoints.merge(
            f"models/generators/{name}", folders, {"emotions": real.emotions, "fit": settings.model_dump()}
        )
        with replacing(f"metrics/losses/{name}.csv") as temporary:
            tracking.read(folders, "step").to_csv(temporary, index=False)

    files = [*FILES, "data/embeddings.safetensors"]
    fold_jobs.run(f"fit-{name}", real.folds, work, [settings, seed, real.emotions], files, gather, together=True)


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
