"""`python -m ser predict`: what it prints, and how it fails."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ser import Recogniser
from tests.helpers import toy_model
from tests.helpers.project import ROOT
from tests.helpers.toy_model import EMOTIONS, speak


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An exported model with random weights."""
    return toy_model.export(tmp_path_factory.mktemp("export"))


def predict(folder, *arguments):
    command = [sys.executable, "-m", "ser", "predict", "--model", folder, *arguments]
    return subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)


def test_predict_prints_one_line_per_file(folder, tmp_path):
    speak(tmp_path / "clips/a.wav"), speak(tmp_path / "clips/deeper/b.flac", pitch=90)
    (tmp_path / "clips/notes.txt").write_text("not a clip")
    completed = predict(folder, tmp_path / "clips")
    assert completed.returncode == 0, completed.stderr
    header, first, second = completed.stdout.splitlines()
    assert header.split() == [*EMOTIONS, "file"]
    assert first.split()[-1] == str(tmp_path / "clips/a.wav") and second.endswith("b.flac")
    assert first.count("%") == 3 and first.count("*") == 1
    assert "2 clips in " in completed.stderr


def test_predict_as_json(folder, tmp_path):
    path = speak(tmp_path / "a.wav")
    completed = predict(folder, "--json", path)
    assert json.loads(completed.stdout) == {"path": str(path), "probabilities": Recogniser.load(folder)(path)}


def test_predict_names_bad_files_and_goes_on(folder, tmp_path):
    bad, good = tmp_path / "bad.wav", speak(tmp_path / "good.wav")
    bad.write_bytes(b"RIFF")
    completed = predict(folder, "--json", bad, good)
    assert completed.returncode == 1
    assert f"error: {bad}: not a readable sound file" in completed.stderr
    assert json.loads(completed.stdout)["path"] == str(good)


@pytest.mark.parametrize("place, message", [("nowhere", "nowhere does not exist"), ("empty", "no sound files")])
def test_predict_without_files_says_so(folder, tmp_path, place, message):
    Path(tmp_path / "empty").mkdir()
    completed = predict(folder, tmp_path / place)
    assert completed.returncode == 1 and message in completed.stderr and "Traceback" not in completed.stderr
