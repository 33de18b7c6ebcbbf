"""Emotion embeddings of every fold's training clips by that fold's baseline, and their centroids: data/embeddings."""

from ser.core import checkpoints, params
from ser.core.device import Precision, setup_torch
from ser.core.stage import progress, stage
from ser.data.dataset import load_dataset
from ser.models import baseline
from ser.models.classifier import ClassifierConfig


def main() -> None:
    class_names = params.read("emotions", list[str])
    dataset = load_dataset(class_names, params.read("split.protocol", str))
    classifier = params.read("classifier", ClassifierConfig)
    precision = params.read("training.precision", Precision)
    device = setup_torch()
    tensors, folds = {}, {}
    for fold in progress(dataset.folds, "embed", "fold"):
        clips = dataset.clips(fold.train, device)
        model = baseline.load(fold, classifier, len(class_names), device)
        embeddings = baseline.embeddings(model, clips, classifier, precision)
        tensors[f"{fold.name}/embeddings"] = embeddings
        tensors[f"{fold.name}/centroids"] = baseline.centroids(embeddings, clips.labels.cpu(), len(class_names))
        folds[fold.name] = {"train_digest": fold.train_digest}
    checkpoints.save("data/embeddings", tensors, {"emotions": class_names, "folds": folds})


if __name__ == "__main__":
    stage(main)
