"""`python -m ser predict`: what it prints, and how it fails."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser import Recogniser
from tests.helpers import toy_model
from tests.helpers.audio import wav_bytes
from tests.helpers.files import write_files
from tests.helpers.project import ROOT
from tests.helpers.toy_model import EMOTIONS, RATE, speak


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
    assert "2 files in " in completed.stderr


def test_predict_as_json(folder, tmp_path):
    path = speak(tmp_path / "a.wav")
    completed = predict(folder, "--json", path)
    probabilities = Recogniser.load(folder)(path)
    assert json.loads(completed.stdout) == {
        "path": str(path),
        "emotion": max(probabilities, key=probabilities.get),
        "probabilities": pytest.approx(probabilities, abs=1e-6),
        "unsure": False,
        "notices": [],
    }


def test_predict_as_csv(folder, tmp_path):
    path = speak(tmp_path / "a, b.wav", rate=8000)
    table = pd.read_csv(io.StringIO(predict(folder, "--csv", path).stdout))
    assert list(table) == ["path", "emotion", "unsure", *EMOTIONS, "notices"]
    (row,) = table.to_dict("records")
    probabilities = {emotion: row[emotion] for emotion in EMOTIONS}
    assert probabilities == pytest.approx(Recogniser.load(folder)(path), abs=1e-4)
    assert row["path"] == str(path) and row["emotion"] == max(probabilities, key=probabilities.get)
    assert row["notices"].startswith("nothing above 4 kHz")


@pytest.fixture
def conversation(tmp_path):
    """Two seconds of a voice, a pause, two seconds of another voice, and half a second more."""
    voice, other = (soundfile.read(speak(tmp_path / "voices/a.wav", 2.0, pitch=pitch))[0] for pitch in (110, 330))
    samples = np.concatenate([voice, np.zeros(2 * RATE), other, other[: RATE // 2] + 0.1])
    soundfile.write(tmp_path / "conversation.wav", samples, RATE)
    return tmp_path / "conversation.wav"


def test_a_long_recording_gets_an_answer_for_every_segment(folder, conversation):
    lines = [json.loads(line) for line in predict(folder, "--json", "--every", 2, conversation).stdout.splitlines()]
    assert [(line["start"], line["end"]) for line in lines] == [(0, 2), (2, 4), (4, 6), (6, 6.5)]
    assert lines[1] == {"path": str(conversation), "start": 2.0, "end": 4.0, "emotion": None}  # a pause
    alone = Recogniser.load(folder)(conversation.parent / "voices/a.wav")
    assert lines[2]["probabilities"] == pytest.approx(alone, abs=1e-3)


@pytest.mark.parametrize("form", ["--csv", None])
def test_segments_in_columns(folder, conversation, form):
    lines = predict(folder, *filter(None, [form]), "--every", "2", conversation).stdout.splitlines()
    assert len(lines) == 5
    assert lines[0].replace(",", " ").split()[-6 if form is None else 1 :][:2] == ["start", "end"]


@pytest.mark.parametrize("seconds", ["0.1", "1e9", "soon"])
def test_segments_of_an_odd_length_are_refused(folder, tmp_path, seconds):
    completed = predict(folder, "--every", seconds, speak(tmp_path / "a.wav"))
    assert completed.returncode == 2 and "--every" in completed.stderr


def test_an_unsure_answer_is_marked(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "export")
    facts = json.loads((folder / "model.json").read_text())
    (tmp_path / "export/model.json").write_text(json.dumps({**facts, "unsure_below": 1.1}))
    path = speak(tmp_path / "a.wav")
    assert json.loads(predict(tmp_path / "export", "--json", path).stdout)["unsure"] is True
    assert predict(tmp_path / "export", path).stdout.count("?") == 1


def test_predict_names_bad_files_and_goes_on(folder, tmp_path):
    bad, good = tmp_path / "bad.wav", speak(tmp_path / "good.wav")
    bad.write_bytes(b"RIFF")
    completed = predict(folder, "--json", bad, good)
    assert completed.returncode == 1
    assert f"error: {bad}: not a readable sound file" in completed.stderr
    assert json.loads(completed.stdout)["path"] == str(good)


@pytest.mark.parametrize(
    "place, message", [("nowhere", "nowhere: not a readable sound file (No such file"), ("empty", "no sound files")]
)
def test_predict_without_files_says_so(folder, tmp_path, place, message):
    Path(tmp_path / "empty").mkdir()
    completed = predict(folder, tmp_path / place)
    assert completed.returncode == 1 and message in completed.stderr and "Traceback" not in completed.stderr


def test_predict_reads_every_codec_and_goes_on_after_a_path_that_is_not_there(folder, tmp_path):
    samples, rate = soundfile.read(speak(tmp_path / "plain.wav"))
    for subtype in ("GSM610", "ULAW", "MS_ADPCM"):
        soundfile.write(tmp_path / f"{subtype}.wav", samples, rate, subtype=subtype)
    (tmp_path / "stream.wav").write_bytes(wav_bytes(samples, rate, riff=0xFFFFFFFF, data=0xFFFFFFFF))
    (tmp_path / "empty").mkdir()
    completed = predict(folder, "--json", tmp_path / "gone", tmp_path / "gone.wav", tmp_path / "empty", tmp_path)
    assert [Path(json.loads(line)["path"]).name for line in completed.stdout.splitlines()] == [
        "GSM610.wav",
        "MS_ADPCM.wav",
        "ULAW.wav",
        "plain.wav",
        "stream.wav",
    ]
    assert completed.returncode == 1
    assert completed.stderr.count("error: ") == 3
    assert completed.stderr.splitlines()[-1] == "3 of the files could not be read"


def test_companions_are_ignored_and_what_is_skipped_is_named(folder, tmp_path):
    clips = tmp_path / "clips"
    speak(clips / "a.wav")
    junk = dict.fromkeys(["._a.wav", "__MACOSX/._a.wav", "__MACOSX/a.wav", ".DS_Store", "b.m4a", "c.webm"], b"junk")
    write_files(clips, junk)
    completed = predict(folder, "--json", clips)
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout)["path"] == str(clips / "a.wav")
    assert completed.stderr.startswith(f"notice: {clips}: skipped 1 .m4a, 1 .webm; what is read are .aif ")
    assert "error" not in completed.stderr


def test_notices_come_with_the_answer(folder, tmp_path):
    path = speak(tmp_path / "narrow.wav", rate=8000)
    notice = "nothing above 4 kHz, as in telephone recordings: the answer is less reliable"
    assert json.loads(predict(folder, "--json", path).stdout)["notices"] == [notice]
    completed = predict(folder, path)
    assert completed.returncode == 0 and completed.stdout.endswith("narrow.wav\n")
    assert f"notice: {path}: {notice}\n" in completed.stderr


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("arguments", [[], ["--json"]], ids=["text", "json"])
def test_names_in_any_encoding_are_printed(folder, tmp_path, encoding, arguments):
    sound = speak(tmp_path / "z.wav").read_bytes()
    names = [os.fsencode(tmp_path) + b"/" + name for name in (b"fr\xf6h.wav", "m\u00fcde.wav".encode(), b"z.wav")]
    for name in names:
        Path(os.fsdecode(name)).write_bytes(sound)
    bad = os.fsencode(tmp_path) + b"/b\xf6se.wav"
    Path(os.fsdecode(bad)).write_bytes(b"no sound")
    command = [sys.executable, "-m", "ser", "predict", "--model", str(folder), *arguments, str(tmp_path)]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, env=environment)
    errors = completed.stderr.decode(encoding)
    assert completed.returncode == 1 and "Traceback" not in errors, errors
    assert rf"error: {tmp_path}/b\udcf6se.wav: not a readable sound file" in errors
    lines = [line for line in completed.stdout.decode(encoding).splitlines() if ".wav" in line]
    assert len(lines) == 3
    if arguments:
        assert [os.fsencode(json.loads(line)["path"]) for line in lines] == names


def test_a_closed_pipe_ends_it_quietly(folder, tmp_path):
    for number in range(40):
        speak(tmp_path / f"{number}.wav", seconds=0.1)
    command = [sys.executable, "-u", "-m", "ser", "predict", "--json", "--model", str(folder), str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        first = running.stdout.readline()
        running.stdout.close()
        errors = running.stderr.read()
    assert json.loads(first)["path"].endswith("0.wav")
    assert running.returncode == -signal.SIGPIPE
    assert "Traceback" not in errors and "Broken" not in errors


@pytest.mark.parametrize("seconds", [0.4, None], ids=["while it starts", "while it works"])
def test_ctrl_c_ends_it_quietly(folder, tmp_path, seconds):
    os.mkfifo(tmp_path / "pipe.wav")  # it waits for a sound that does not come
    paths = [str(speak(tmp_path / "a.wav")), str(tmp_path / "pipe.wav")]
    command = [sys.executable, "-u", "-m", "ser", "predict", "--json", "--model", str(folder), *paths]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        time.sleep(seconds) if seconds else running.stdout.readline()
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == -signal.SIGINT
    assert errors == ""


def test_the_model_of_the_clone_answers_in_any_folder(tmp_path):
    speak(tmp_path / "clip.wav")
    command = [sys.executable, "-m", "ser", "predict", "--json", "clip.wav"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    completed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout)["path"] == "clip.wav"
