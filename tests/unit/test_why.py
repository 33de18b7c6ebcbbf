"""Which parts of a mel an answer rests on."""

import numpy as np
import pytest
import torch

from app import why
from ser.recogniser import Recogniser
from tests.helpers import toy_model
from tests.helpers.toy_model import EMOTIONS, N_MELS


@pytest.fixture
def model(tmp_path):
    return Recogniser.load(toy_model.export(tmp_path))


class Loudness(torch.nn.Module):
    """A classifier that finds the first emotion where the upper half of the first 20 frames is loud."""

    def __init__(self, normaliser):
        super().__init__()
        self.normaliser = normaliser

    def forward(self, crops):
        evidence = crops[:, 0, N_MELS // 2 :, :20].mean((1, 2))
        return torch.stack([evidence, torch.zeros_like(evidence), torch.zeros_like(evidence)], dim=1)


def test_what_an_answer_rests_on_is_found(model):
    model.network.classifier = Loudness(model.network.classifier.normaliser)
    mel = np.full((N_MELS, 20), -10, np.float32)  # louder than the mean everywhere
    falls = why.occlusion(model, mel, EMOTIONS[0])
    low, high = falls[: N_MELS // 4], falls[-N_MELS // 4 :]
    assert high.min() > 2 * low.max() > 0  # the lowest patch reaches a little above the middle
    assert why.occlusion(model, mel, EMOTIONS[1])[-N_MELS // 4 :].max() < -0.01


@pytest.mark.parametrize("frames", [2, 9, 10, 11, 23])
def test_clips_of_any_length_are_covered(model, frames):
    mel = np.random.default_rng(0).uniform(-80, 0, (N_MELS, frames)).astype(np.float32)
    assert np.isfinite(why.occlusion(model, mel, EMOTIONS[0])).all()
