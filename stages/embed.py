"""Emotion embeddings of every fold's training clips by that fold's baseline, and their centroids: data/embeddings."""

from ser import compute, embedding, params, store, study
from ser.classifiers import ClassifierSettings
from ser.runtime import progress, stage


def main():
    emotions = params.read("emotions", list[str])
    real = study.load(emotions, params.read("split.protocol", str))
    classifier = params.read("classifier", ClassifierSettings)
    precision = params.read("training.precision", compute.Precision)
    device = compute.device()
    tensors, units = {}, {}
    for fold in progress(real.folds, "embed", "fold"):
        clips = real.clips(fold.train, device)
        features = embedding.features(fold, clips, classifier, len(emotions), precision)
        features = embedding.standardise(features)
        tensors[f"{fold.name}/features"] = features
        tensors[f"{fold.name}/centroids"] = embedding.centroids(features, clips.emotion.cpu(), len(emotions))
        units[fold.name] = {"training": fold.training_digest}
    store.save("data/embeddings", tensors, {"emotions": emotions, "units": units})


if __name__ == "__main__":
    stage(main)
