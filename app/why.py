"""Which parts of a mel spectrogram an answer rests on: occlusion (Zeiler & Fergus 2014, arXiv 1311.2901)."""

import numpy as np

from ser.recogniser import Recogniser

SIZE = 10  # bands and frames of a patch
STRIDE = 5  # bands and frames from one patch to the next


def occlusion(model: Recogniser, mel: np.ndarray, emotion: str) -> np.ndarray:
    """How much the log probability of an emotion falls without the surroundings of each place, `[n_mels, frames]`.

    Patches of the mel [n_mels, frames] are replaced by the mean of the training clips in their bands; a place has the
    mean over the patches that cover it. Negative values speak against the emotion.
    """
    label = model.class_names.index(emotion)
    mean = model.network.classifier.normaliser.mean.numpy()[:, None]
    patches, occluded = [], []
    for band in range(0, max(1, mel.shape[0] - SIZE + STRIDE), STRIDE):
        for frame in range(0, max(1, mel.shape[1] - SIZE + STRIDE), STRIDE):
            patch = np.s_[band : band + SIZE, frame : frame + SIZE]
            changed = mel.copy()
            changed[patch] = mean[band : band + SIZE]
            patches.append(patch)
            occluded.append(changed)
    log_probability = np.log(model.probabilities([mel, *occluded])[:, label])
    falls, covers = np.zeros(mel.shape), np.zeros(mel.shape)
    for patch, after in zip(patches, log_probability[1:], strict=True):
        falls[patch] += log_probability[0] - after
        covers[patch] += 1
    return falls / covers
