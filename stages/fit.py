"""A generator fitted to every fold's training clips and their embeddings: models/generators/GENERATOR, and its loss in
metrics/losses/GENERATOR.csv."""

import importlib
import sys

from pydantic import NonNegativeInt

from ser import compute, params, store, study, tracking, units
from ser.runtime import replacing, stage


def main(name):
    generator = importlib.import_module(f"ser.generators.{name}")
    settings = params.read(f"generators.{name}.fit", generator.Fit)
    seed = params.read("seed", NonNegativeInt)
    real = study.load(params.read("emotions", list[str]), params.read("split.protocol", str))
    device = compute.device()

    def work(fold, folder):
        embeddings = store.load("data/embeddings", fold)
        clips = real.clips(fold.train, device)
        normalise = clips.normaliser()
        with tracking.live(folder / "live") as log:
            state = generator.fit(
                clips,
                normalise,
                embeddings["features"],
                settings,
                compute.derive_seed(seed, fold.repeat, fold.fold, 2),
                log,
            )
        store.save(folder / "model", state | normalise.tensors(), {"training": fold.training_digest})

    def gather(folders):
        store.merge(f"models/generators/{name}", folders, {"emotions": real.emotions, "fit": settings.model_dump()})
        with replacing(f"metrics/losses/{name}.csv") as temporary:
            tracking.read(folders, "step").to_csv(temporary, index=False)

    files = [*study.FILES, "data/embeddings.safetensors"]
    units.run(f"fit-{name}", real.folds, work, [settings, seed, real.emotions], files, gather, together=True)


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
