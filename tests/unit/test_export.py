"""How the exported model is calibrated and stored."""

import numpy as np
import pytest
import torch

from ser.core.errors import InputError
from ser.recogniser import Recogniser
from stages import export
from tests.helpers import toy_model
from tests.helpers.fabricated_study import EMOTIONS, fabricate
from tests.helpers.toy_model import FRAMES, N_MELS


@pytest.fixture
def network(tmp_path):
    return Recogniser.load(toy_model.export(tmp_path)).network


def test_the_predictions_for_test_speakers_calibrate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "metrics/predictions").mkdir(parents=True)
    table = fabricate(arms=("baseline",), runs=2)[1]["baseline"]
    table.to_csv("metrics/predictions/baseline.csv", index=False)
    temperature, threshold = export.calibrate("baseline", EMOTIONS, 0.9)
    scaled = table[EMOTIONS].to_numpy() ** (1 / temperature)
    confidence = (scaled / scaled.sum(1, keepdims=True)).max(1)
    correct = (table["predicted"] == table["emotion"]).to_numpy()
    assert 0.5 < temperature < 2
    assert correct[confidence >= threshold - 1e-4].mean() == pytest.approx(0.9, abs=0.02)
    assert correct.mean() < 0.88 and (confidence < threshold).any()


def test_an_arm_without_predictions_calibrates_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="metrics/predictions/baseline.csv is missing"):
        export.calibrate("baseline", EMOTIONS, 0.9)


def test_weights_are_stored_in_half_precision(network):
    crops = 80 * torch.rand(4, N_MELS, FRAMES) - 80
    with torch.inference_mode():
        before = network(crops)
        weights = export.halved(network, crops)
        np.testing.assert_allclose(network(crops), before, atol=export.HALVED)
    assert {tensor.dtype for tensor in weights.values() if tensor.dim() > 1} == {torch.float16}
    assert all(torch.equal(weights[name].float(), tensor) for name, tensor in network.state_dict().items())


def test_weights_that_half_precision_would_change_are_stored_as_they_are(network, monkeypatch):
    monkeypatch.setattr(export, "HALVED", 0.0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    weights = export.halved(network, torch.zeros(1, N_MELS, FRAMES))
    for state in (weights, network.state_dict()):
        assert all(torch.equal(state[name], tensor) for name, tensor in before.items())
