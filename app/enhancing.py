"""The enhancement of one clip under an emotion, by the generator of the study's first fold."""

import importlib

import torch

from ser.core import checkpoints, params
from ser.core.rng import make_rng
from ser.data.clips import Normaliser
from ser.data.mel_store import FLOOR_DB
from ser.generators import denoiser

SEED = 0  # the same clip sounds the same again


def load(name, study):
    """A function of a mel [n_mels, frames] in dB, an emotion and a strength that returns the enhanced mel."""
    generator = importlib.import_module(f"ser.generators.{name}")
    fitted = params.read(f"generators.{name}.fit", generator.Fit)
    settings = params.read("enhancement", denoiser.Enhancement)
    fold = study.folds[0]
    state, centroids = (
        checkpoints.load(f"models/generators/{name}", fold),
        checkpoints.load("data/embeddings", fold)["centroids"],
    )
    normalise = Normaliser(state.pop("mean"), state.pop("std"))

    def enhance(mel, emotion, strength):
        """The first `frames` of the clip, of as many as the generator makes; shorter ones end in silence."""
        crop = torch.full((len(mel), fitted.frames), FLOOR_DB)
        length = min(fitted.frames, mel.shape[1])
        crop[:, :length] = torch.from_numpy(mel[:, :length])
        number = torch.tensor([study.emotions.index(emotion)])
        made = generator.enhance(
            state,
            normalise(crop)[None, None],
            number,
            centroids[number],
            fitted,
            settings.model_copy(update={"strength": strength}),
            make_rng(SEED),
            torch.device("cpu"),
        )
        return normalise.to_db(made[0, 0])[:, :length].numpy()

    return enhance
