"""The quality of synthetic clips, metrics/quality/GENERATOR.json, and how they lie among real ones in the embedding of
the first fold, plots/embeddings/GENERATOR.csv and .png."""

import json
import sys

import pandas as pd
from pydantic import NonNegativeInt

from ser.core import fold_jobs, params
from ser.core.atomic import replacing
from ser.core.device import Precision, setup_torch
from ser.core.stage import stage
from ser.data import manifest
from ser.data.dataset import FILES, load_dataset
from ser.evaluation import sample_quality
from ser.models.classifier import ClassifierSettings
from ser.reporting import figures, projection
from ser.training.augmentation import Masking
from ser.training.loop import Training


def main(name):
    generated = f"data/synthetic/{name}"
    real = load_dataset(params.read("emotions", list[str]), params.read("split.protocol", str))
    classifier = params.read("classifier", ClassifierSettings)
    precision = params.read("training.precision", Precision)
    evaluator = params.read("quality.classifier", ClassifierSettings)
    settings = params.read("quality.training", Training)
    masking = params.read("arms.baseline.masking", Masking)
    seed = params.read("seed", NonNegativeInt)
    device = setup_torch()

    def work(fold, folder):
        material = sample_quality.material(fold, real, generated, classifier, precision, seed, device)
        taught = sample_quality.teach(
            fold, material, real.clips(fold.validation, device), len(real.emotions), evaluator, settings, masking, seed
        )
        near = sample_quality.near(fold, material, classifier.frames, seed)
        values = sample_quality.figures(fold, material, taught, near, real.emotions)
        (folder / "figures.json").write_text(json.dumps(values))
        if fold == real.folds[0]:
            table, embeddings = sample_quality.points(material, real.emotions, speakers())
            table[projection.COLUMNS] = projection.project(embeddings, seed).round(4)
            table.to_csv(folder / "points.csv", index=False)

    def speakers():
        table = manifest.load("data/catalogue.csv")
        return dict(zip(table["clip"], table["speaker"]))

    def gather(folders):
        summary = sample_quality.summary([json.loads((folder / "figures.json").read_text()) for folder in folders])
        with replacing(f"metrics/quality/{name}.json") as temporary:
            temporary.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n")
        points = pd.read_csv(folders[0] / "points.csv", keep_default_na=False)
        with replacing(f"plots/embeddings/{name}.csv") as temporary:
            points.to_csv(temporary, index=False)
        figure = figures.embeddings(
            points,
            f"Real clips and clips of {name} in the embedding of the baseline",
            "First fold, equal numbers of every emotion. The baseline learnt from the training clips.",
        )
        figures.save(figure, f"plots/embeddings/{name}.png")

    files = [*FILES, "models/arms/baseline.safetensors", f"{generated}/index.csv", f"{generated}/frames.npy"]
    ingredients = [classifier, precision, evaluator, settings, masking, seed, real.emotions]
    fold_jobs.run(f"assess-{name}", real.folds, work, ingredients, files, gather)


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
