"""The quality of synthetic clips, metrics/quality/GENERATOR.json, and how they lie among real ones in the embedding of
the first fold, plots/embeddings/GENERATOR.csv and .png."""

import json
import sys

import pandas as pd
from pydantic import NonNegativeInt

from ser import assessment, catalogue, compute, figures, params, projection, study, units
from ser.classifiers import ClassifierSettings
from ser.masking import Masking
from ser.runtime import replacing, stage
from ser.training import Training


def main(name):
    generated = f"data/synthetic/{name}"
    real = study.load(params.read("emotions", list[str]), params.read("split.protocol", str))
    classifier = params.read("classifier", ClassifierSettings)
    precision = params.read("training.precision", compute.Precision)
    evaluator = params.read("quality.classifier", ClassifierSettings)
    settings = params.read("quality.training", Training)
    masking = params.read("arms.baseline.masking", Masking)
    seed = params.read("seed", NonNegativeInt)
    device = compute.device()

    def work(fold, folder):
        material = assessment.material(fold, real, generated, classifier, precision, seed, device)
        taught = assessment.teach(
            fold, material, real.clips(fold.validation, device), len(real.emotions), evaluator, settings, masking, seed
        )
        near = assessment.near(fold, material, classifier.frames, seed)
        values = assessment.figures(fold, material, taught, near, real.emotions)
        (folder / "figures.json").write_text(json.dumps(values))
        if fold == real.folds[0]:
            table, embeddings = assessment.points(material, real.emotions, speakers())
            table[projection.COLUMNS] = projection.project(embeddings, seed).round(4)
            table.to_csv(folder / "points.csv", index=False)

    def speakers():
        table = catalogue.load("data/catalogue.csv")
        return dict(zip(table["clip"], table["speaker"]))

    def gather(folders):
        summary = assessment.summary([json.loads((folder / "figures.json").read_text()) for folder in folders])
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

    files = [*study.FILES, "models/arms/baseline.safetensors", f"{generated}/index.csv", f"{generated}/frames.npy"]
    ingredients = [classifier, precision, evaluator, settings, masking, seed, real.emotions]
    units.run(f"assess-{name}", real.folds, work, ingredients, files, gather)


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
