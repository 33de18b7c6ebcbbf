"""Test clips noised and denoised by a generator under an emotion, then recognised by the fold's baseline:
metrics/enhanced/GENERATOR/CONDITION.csv.

The published protocol takes the emotion from the clip's own label, which leaks it; beside it, the emotion that the
baseline recognises, and none.
"""

import importlib
import sys

import pandas as pd
from pydantic import NonNegativeInt

from ser.core import checkpoints, fold_jobs, params
from ser.core.atomic import replacing
from ser.core.device import Precision, setup_torch
from ser.core.rng import derive_seed, make_rng
from ser.core.stage import progress, stage
from ser.data.clips import Normaliser, clips_from_mels
from ser.data.dataset import FILES, load_dataset
from ser.evaluation.predictions import CONDITIONS
from ser.generators import denoiser
from ser.models import baseline
from ser.models.classifier import ClassifierSettings, evaluate, mean_over_crops


def main(name):
    generator = importlib.import_module(f"ser.generators.{name}")
    fitted = params.read(f"generators.{name}.fit", generator.Fit)
    settings = params.read("enhancement", denoiser.Enhancement)
    classifier = params.read("classifier", ClassifierSettings)
    precision = params.read("training.precision", Precision)
    seed = params.read("seed", NonNegativeInt)
    real = load_dataset(params.read("emotions", list[str]), params.read("split.protocol", str))
    device = setup_torch()

    def work(fold, folder):
        centroids = checkpoints.load("data/embeddings", fold)["centroids"]
        state = checkpoints.load(f"models/generators/{name}", fold)
        normalise = Normaliser(state.pop("mean").to(device), state.pop("std").to(device))
        net, own_normalise = baseline.classifier(fold, classifier, len(real.emotions), device)
        test = real.clips(fold.test, device)
        which, position = test.covering(fitted.frames)
        mels = normalise(test.crops(which, fitted.frames, position))
        recognised = evaluate(net, own_normalise, test, classifier.frames, precision).argmax(1)
        emotion_of_crop = {
            "true_label": test.emotion[which].cpu(),
            "predicted_label": recognised[which.cpu()],
            "no_label": None,
        }
        for condition in progress(CONDITIONS, unit="condition"):
            draws = make_rng(derive_seed(seed, fold.repeat, fold.fold, 9))
            emotion = emotion_of_crop[condition]
            embedding_of = None if emotion is None else centroids[emotion]
            enhanced = generator.enhance(state, mels, emotion, embedding_of, fitted, settings, draws, device)
            crops = clips_from_mels(normalise.to_db(enhanced[:, 0].to(device)), test.emotion[which])
            logits = mean_over_crops(evaluate(net, own_normalise, crops, classifier.frames, precision), which.cpu())
            real.predictions(fold, logits).to_csv(folder / f"{condition}.csv", index=False)

    def gather(folders):
        for condition in CONDITIONS:
            tables = [pd.read_csv(folder / f"{condition}.csv", dtype=str) for folder in folders]
            with replacing(f"metrics/enhanced/{name}/{condition}.csv") as temporary:
                pd.concat(tables).to_csv(temporary, index=False)

    files = [
        *FILES,
        "data/embeddings.safetensors",
        "models/arms/baseline.safetensors",
        f"models/generators/{name}.safetensors",
    ]
    ingredients = [fitted, settings, classifier, precision, seed, real.emotions]
    fold_jobs.run(f"enhance-{name}", real.folds, work, ingredients, files, gather)


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
