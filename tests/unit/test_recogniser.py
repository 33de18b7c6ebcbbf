"""The exported model in Python and as ONNX."""

import json
import shutil

import numpy as np
import onnxruntime
import pytest
import soundfile
import torch

from ser import Recogniser
from ser.core.errors import InputError
from ser.data.clips import Clips
from stages import export
from tests.helpers import toy_model
from tests.helpers.project import ROOT
from tests.helpers.toy_model import EMOTIONS, FRAMES, N_MELS, RATE, speak


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An exported model with random weights."""
    return toy_model.export(tmp_path_factory.mktemp("export"))


def test_three_lines_of_python(folder, tmp_path):
    recognise = Recogniser.load(folder)
    probabilities = recognise(speak(tmp_path / "clip.wav"))
    assert list(probabilities) == EMOTIONS
    assert sum(probabilities.values()) == pytest.approx(1)
    assert recognise(tmp_path / "clip.wav") == probabilities


@pytest.mark.parametrize("name", ["clip.flac", "clip.ogg", "clip.mp3"])
def test_other_formats_are_read_as_well(folder, tmp_path, name):
    recognise = Recogniser.load(folder)
    plain, compressed = recognise(speak(tmp_path / "clip.wav")), recognise(speak(tmp_path / name))
    assert compressed == pytest.approx(plain, abs=0.1)


@pytest.mark.parametrize("frames", [7, 12, 20, 23, 61])
def test_a_clip_is_evaluated_as_in_the_study(folder, frames):
    model = Recogniser.load(folder)
    time_major = np.random.default_rng(0).uniform(-80, 0, (frames, N_MELS)).astype(np.float16)
    clips = Clips(torch.from_numpy(time_major), torch.tensor([0]), torch.tensor([frames]), torch.tensor([0]))
    clip_index, position = clips.covering(FRAMES)
    classifier = model.network.classifier
    with torch.inference_mode():
        logits = classifier(classifier.normaliser(clips.crops(clip_index, FRAMES, position))).mean(0)
    probabilities = model.probabilities(time_major.T.astype(np.float32))
    np.testing.assert_allclose(probabilities, torch.softmax(logits, 0), atol=1e-6)
    assert probabilities.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "write, message",
    [
        (lambda path: path.write_bytes(b"no sound"), "not a readable sound file"),
        (lambda path: path.write_bytes(b""), "not a readable sound file"),
        (lambda path: path.mkdir(), "not a readable sound file"),
        (lambda path: soundfile.write(path, np.zeros(8000), RATE), "no sound in it"),
        (lambda path: soundfile.write(path, np.zeros(0), RATE), "no sound in it"),
        (lambda path: soundfile.write(path, np.ones(301 * 1000), 1000), "lasts 301 s; up to 300 s"),
    ],
)
def test_a_useless_file_is_refused(folder, tmp_path, write, message):
    write(tmp_path / "clip.wav")
    with pytest.raises(InputError, match=f"clip.wav: {message}"):
        Recogniser.load(folder)(tmp_path / "clip.wav")


@pytest.mark.parametrize("harm", ["missing", "cut", "edited"])
def test_a_damaged_model_is_refused(folder, tmp_path, harm):
    shutil.copytree(folder, tmp_path / "export")
    weights = tmp_path / "export/model.safetensors"
    if harm == "missing":
        weights.unlink()
    elif harm == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        facts = json.loads((tmp_path / "export/model.json").read_text())
        facts["params"]["mels"]["n_mels"] = 17
        (tmp_path / "export/model.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="no readable model .*`dvc repro export`"):
        Recogniser.load(tmp_path / "export")


def test_onnx_gives_the_same_probabilities_for_any_number_of_crops(folder, tmp_path):
    network = Recogniser.load(folder).network
    crops = 80 * torch.rand(5, N_MELS, FRAMES) - 80
    export.write_onnx(network, crops, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for batch in (crops[:1], crops):
        (probabilities,) = session.run(None, {"crops": batch.numpy()})
        with torch.inference_mode():
            np.testing.assert_allclose(probabilities, network(batch).numpy(), atol=1e-5)
    assert str(ROOT).encode() not in (tmp_path / "model.onnx").read_bytes()


def test_an_onnx_that_differs_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1)
    with pytest.raises(InputError, match="ONNX is .* off the probabilities of torch"):
        export.write_onnx(Recogniser.load(folder).network, torch.zeros(2, N_MELS, FRAMES), tmp_path / "model.onnx")
