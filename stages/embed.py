"""Emotion embeddings of every fold's training clips by that fold's baseline, and their centroids: data/embeddings."""

from ser.core import checkpoints, params
from ser.core.device import Precision, setup_torch
from ser.core.stage import progress, stage
from ser.data.dataset import load_dataset
from ser.models import baseline
from ser.models.classifier import ClassifierSettings


def main():
    emotions = params.read("emotions", list[str])
    real = load_dataset(emotions, params.read("split.protocol", str))
    classifier = params.read("classifier", ClassifierSettings)
    precision = params.read("training.precision", Precision)
    device = setup_torch()
    tensors, units = {}, {}
    for fold in progress(real.folds, "embed", "fold"):
        clips = real.clips(fold.train, device)
        features = baseline.features(fold, clips, classifier, len(emotions), precision)
        features = baseline.standardise(features)
        tensors[f"{fold.name}/features"] = features
        tensors[f"{fold.name}/centroids"] = baseline.centroids(features, clips.emotion.cpu(), len(emotions))
        units[fold.name] = {"training": fold.training_digest}
    checkpoints.save("data/embeddings", tensors, {"emotions": emotions, "units": units})


if __name__ == "__main__":
    stage(main)
