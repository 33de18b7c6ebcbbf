"""The part of the app that takes a clip, without a browser."""

import shutil

import numpy as np
import pytest
import soundfile

from ser.audio.io import SUFFIXES
from tests.helpers import toy_model
from tests.helpers.audio import wav_bytes
from tests.helpers.project import ROOT, change
from tests.helpers.toy_model import PARAMS, RATE, speak

testing = pytest.importorskip("streamlit.testing.v1")


def your_clip():
    """A script of Streamlit: the app's first tab."""
    from app import page

    page.your_clip()


@pytest.fixture
def upload(tmp_path, monkeypatch):
    """A function that uploads a file to the app and returns what it shows."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    change(tmp_path, {"audio": PARAMS["audio"], "mels": PARAMS["mels"]})
    toy_model.export(tmp_path / "models/export")
    monkeypatch.chdir(tmp_path)
    app = testing.AppTest.from_function(your_clip, default_timeout=60).run()

    def answer(path, content=None):
        app.file_uploader[0].set_value((path.name, path.read_bytes() if content is None else content, None)).run()
        assert not app.exception
        return app

    return answer


def warnings(app):
    return [warning.value for warning in app.warning]


@pytest.mark.parametrize(
    "name", ["clip.wav", "clip.opus", "clip.OGA", "clip.aiff", "clip.caf", "clip.flac", "clip.mp3"]
)
def test_every_format_that_predict_reads_is_taken(upload, tmp_path, name):
    samples, rate = soundfile.read(speak(tmp_path / "plain.wav"))
    container, subtype = {"opus": ("OGG", "OPUS"), "OGA": ("OGG", None)}.get(name[5:], (name[5:].upper(), None))
    soundfile.write(tmp_path / name, samples, rate, format=container, subtype=subtype)
    app = upload(tmp_path / name)
    assert app.metric[0].value in PARAMS["emotions"] and warnings(app) == []


def test_the_app_lists_the_formats_of_predict(upload, tmp_path):
    assert set(SUFFIXES) <= set(upload(speak(tmp_path / "clip.wav")).file_uploader[0].proto.type)


def test_streams_and_odd_codecs_are_taken(upload, tmp_path):
    samples, rate = soundfile.read(speak(tmp_path / "plain.wav"))
    assert upload(tmp_path / "plain.wav", wav_bytes(samples, rate, riff=0, data=0)).metric
    soundfile.write(tmp_path / "gsm.wav", samples, rate, subtype="GSM610")
    assert upload(tmp_path / "gsm.wav").metric


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([0.5], "This clip cannot be used: lasts 0.1 ms; at least 50 ms are needed."),
        (np.resize([0.5, -0.5], 300), "This clip cannot be used: lasts 18.8 ms; at least 50 ms are needed."),
        (np.zeros(0), "This clip cannot be used: empty, no samples."),
        (np.zeros(8000), "This clip cannot be used: silent, its peak is 0.0e+00 of full scale."),
        (np.full(8000, 0.5), "This clip cannot be used: silent, a constant."),
        (
            np.resize([0.5, -0.5], 61 * RATE),
            "This clip cannot be used: too long, at 1 channels of 16,000 Hz; up to 60 s",
        ),
    ],
)
def test_a_useless_clip_gets_a_friendly_message(upload, tmp_path, samples, message):
    soundfile.write(tmp_path / "clip.wav", samples, RATE)
    app = upload(tmp_path / "clip.wav")
    assert app.error[0].value.startswith(message) and not app.metric


def test_a_file_that_is_no_sound_gets_a_friendly_message(upload, tmp_path):
    app = upload(tmp_path / "clip.wav", b"no sound")
    assert app.error[0].value == "This clip cannot be used: not a readable sound file (Format not recognised.)."


def test_notices_come_with_the_answer(upload, tmp_path):
    samples, rate = soundfile.read(speak(tmp_path / "clip.wav", rate=8000))
    assert warnings(upload(tmp_path / "clip.wav")) == [
        "Nothing above 4 kHz, as in telephone recordings: the answer is less reliable."
    ]
    soundfile.write(tmp_path / "clip.wav", np.stack([samples, -samples], axis=1), rate)
    app = upload(tmp_path / "clip.wav")
    assert app.metric and warnings(app)[0].startswith("Its channels cancel each other; ")
