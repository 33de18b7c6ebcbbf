"""Test clips noised and denoised by a generator under an emotion, then recognised by the fold's baseline:
metrics/enhanced/GENERATOR/CONDITION.csv.

The published protocol takes the emotion from the clip's own label, which leaks it; beside it, the emotion that the
baseline recognises, and none.
"""

import importlib
import sys

import pandas as pd
from pydantic import NonNegativeInt

from ser import batches, classifiers, compute, denoising, embedding, params, scores, store, study, units
from ser.batches import Normaliser
from ser.classifiers import ClassifierSettings
from ser.runtime import progress, replacing, stage


def main(name):
    generator = importlib.import_module(f"ser.generators.{name}")
    fitted = params.read(f"generators.{name}.fit", generator.Fit)
    settings = params.read("enhancement", denoising.Enhancement)
    classifier = params.read("classifier", ClassifierSettings)
    precision = params.read("training.precision", compute.Precision)
    seed = params.read("seed", NonNegativeInt)
    real = study.load(params.read("emotions", list[str]), params.read("split.protocol", str))
    device = compute.device()

    def work(fold, folder):
        centroids = store.load("data/embeddings", fold)["centroids"]
        state = store.load(f"models/generators/{name}", fold)
        normalise = Normaliser(state.pop("mean").to(device), state.pop("std").to(device))
        net, own_normalise = embedding.classifier(fold, classifier, len(real.emotions), device)
        test = real.clips(fold.test, device)
        which, position = test.covering(fitted.frames)
        mels = normalise(test.crops(which, fitted.frames, position))
        recognised = classifiers.evaluate(net, own_normalise, test, classifier.frames, precision).argmax(1)
        emotion_of_crop = {
            "true_label": test.emotion[which].cpu(),
            "predicted_label": recognised[which.cpu()],
            "no_label": None,
        }
        for condition in progress(scores.CONDITIONS, unit="condition"):
            draws = compute.generator(compute.derive_seed(seed, fold.repeat, fold.fold, 9))
            emotion = emotion_of_crop[condition]
            embedding_of = None if emotion is None else centroids[emotion]
            enhanced = generator.enhance(state, mels, emotion, embedding_of, fitted, settings, draws, device)
            crops = batches.whole(normalise.to_db(enhanced[:, 0].to(device)), test.emotion[which])
            logits = classifiers.mean_over_crops(
                classifiers.evaluate(net, own_normalise, crops, classifier.frames, precision), which.cpu()
            )
            real.predictions(fold, logits).to_csv(folder / f"{condition}.csv", index=False)

    def gather(folders):
        for condition in scores.CONDITIONS:
            tables = [pd.read_csv(folder / f"{condition}.csv", dtype=str) for folder in folders]
            with replacing(f"metrics/enhanced/{name}/{condition}.csv") as temporary:
                pd.concat(tables).to_csv(temporary, index=False)

    files = [
        *study.FILES,
        "data/embeddings.safetensors",
        "models/arms/baseline.safetensors",
        f"models/generators/{name}.safetensors",
    ]
    ingredients = [fitted, settings, classifier, precision, seed, real.emotions]
    units.run(f"enhance-{name}", real.folds, work, ingredients, files, gather)


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
