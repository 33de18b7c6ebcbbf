"""The exported model as people use it: from Python, from the command line, and as ONNX."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
import torch

from ser import Recogniser
from ser.core import checkpoints, params
from ser.core.errors import InputError
from ser.data.clips import Clips, Normaliser
from ser.models.classifier import ClassifierSettings
from ser.models.exported import Network
from stages import export
from tests.helpers.project import ROOT

EMOTIONS, RATE, FRAMES = ["anger", "neutral", "sadness"], 16000, 20
CHOSEN = {
    "emotions": EMOTIONS,
    "audio": {"sample_rate": RATE, "channel": "mean", "trim_db": 30.0},
    "mels": {"n_fft": 512, "hop": 256, "n_mels": 16, "fmin": 0.0, "fmax": 8000.0},
    "classifier": {"arch": "cnn", "pretrained": "none", "frames": FRAMES, "resize": None, "dropout": 0.5},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An exported model with random weights."""
    folder = tmp_path_factory.mktemp("export")
    network = Network(params.check(CHOSEN["classifier"], ClassifierSettings), 16, 3).eval()
    network.mean[:], network.std[:] = -40, 20
    checkpoints.save(folder / "model", network.state_dict(), {"arm": "baseline", "params": CHOSEN})
    return folder


def speak(path, seconds=1.0, rate=RATE, pitch=200):
    """A buzz that swells and fades."""
    time = np.arange(int(seconds * rate)) / rate
    samples = np.sign(np.sin(2 * np.pi * pitch * time)) * np.sin(np.pi * time / max(seconds, 1e-9)) * 0.5
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)
    return path


def test_three_lines_of_python(folder, tmp_path):
    recognise = Recogniser.load(folder)
    probabilities = recognise(speak(tmp_path / "clip.wav"))
    assert list(probabilities) == EMOTIONS
    assert sum(probabilities.values()) == pytest.approx(1)
    assert recognise(tmp_path / "clip.wav") == probabilities


@pytest.mark.parametrize("name", ["clip.flac", "clip.ogg", "clip.mp3"])
def test_other_formats_are_read_as_well(folder, tmp_path, name):
    recognise = Recogniser.load(folder)
    plain, packed = recognise(speak(tmp_path / "clip.wav")), recognise(speak(tmp_path / name))
    assert packed == pytest.approx(plain, abs=0.1)


@pytest.mark.parametrize("frames", [7, 12, 20, 23, 61])
def test_a_clip_is_judged_as_in_the_study(folder, frames):
    model = Recogniser.load(folder)
    mel = np.random.default_rng(0).uniform(-80, 0, (frames, 16)).astype(np.float16)
    clips = Clips(torch.from_numpy(mel), torch.tensor([0]), torch.tensor([frames]), torch.tensor([0]))
    which, position = clips.covering(FRAMES)
    network, normalise = model.network, Normaliser(model.network.mean, model.network.std)
    with torch.inference_mode():
        logits = network.classifier(normalise(clips.crops(which, FRAMES, position))).mean(0)
    probabilities = model.probabilities(mel.T.astype(np.float32))
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
    crops = 80 * torch.rand(5, 16, FRAMES) - 80
    export.write_onnx(network, crops, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for some in (crops[:1], crops):
        (probabilities,) = session.run(None, {"crops": some.numpy()})
        with torch.inference_mode():
            np.testing.assert_allclose(probabilities, network(some).numpy(), atol=1e-5)
    assert str(ROOT).encode() not in (tmp_path / "model.onnx").read_bytes()


def test_an_onnx_that_differs_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1)
    with pytest.raises(InputError, match="ONNX is .* off the probabilities of torch"):
        export.write_onnx(Recogniser.load(folder).network, torch.zeros(2, 16, FRAMES), tmp_path / "model.onnx")


def predict(folder, *arguments):
    command = [sys.executable, "-m", "ser", "predict", "--model", folder, *arguments]
    return subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)


def test_predict_prints_a_line_a_file(folder, tmp_path):
    speak(tmp_path / "some/a.wav"), speak(tmp_path / "some/deeper/b.flac", pitch=90)
    (tmp_path / "some/notes.txt").write_text("not a clip")
    done = predict(folder, tmp_path / "some")
    assert done.returncode == 0, done.stderr
    header, first, second = done.stdout.splitlines()
    assert header.split() == [*EMOTIONS, "file"]
    assert first.split()[-1] == str(tmp_path / "some/a.wav") and second.endswith("b.flac")
    assert first.count("%") == 3 and first.count("*") == 1
    assert "2 clips in " in done.stderr


def test_predict_as_json(folder, tmp_path):
    path = speak(tmp_path / "a.wav")
    done = predict(folder, "--json", path)
    assert json.loads(done.stdout) == {"path": str(path), "probabilities": Recogniser.load(folder)(path)}


def test_predict_names_bad_files_and_goes_on(folder, tmp_path):
    bad, good = tmp_path / "bad.wav", speak(tmp_path / "good.wav")
    bad.write_bytes(b"RIFF")
    done = predict(folder, "--json", bad, good)
    assert done.returncode == 1
    assert f"error: {bad}: not a readable sound file" in done.stderr
    assert json.loads(done.stdout)["path"] == str(good)


@pytest.mark.parametrize("place, message", [("nowhere", "nowhere does not exist"), ("empty", "no sound files")])
def test_predict_without_files_says_so(folder, tmp_path, place, message):
    Path(tmp_path / "empty").mkdir()
    done = predict(folder, tmp_path / place)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
