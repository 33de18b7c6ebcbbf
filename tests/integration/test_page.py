"""The part of the app that takes a clip, without a browser."""

import shutil

import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure

from app import pictures
from ser import Recogniser
from ser.audio.io import SUFFIXES
from tests.helpers import toy_model
from tests.helpers.audio import wav_bytes
from tests.helpers.project import ROOT
from tests.helpers.toy_model import EMOTIONS, PARAMS, RATE, speak

testing = pytest.importorskip("streamlit.testing.v1")


def your_clips():
    """A script of Streamlit: the app's first tab."""
    from app.your_clips import your_clips

    your_clips()


@pytest.fixture
def upload(tmp_path, monkeypatch):
    """A function that uploads files to the app and returns what it shows."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    toy_model.export(tmp_path / "models/export")
    monkeypatch.chdir(tmp_path)
    app = testing.AppTest.from_function(your_clips, default_timeout=60).run()

    def answer(*paths, content=None):
        files = [(path.name, path.read_bytes() if content is None else content, None) for path in paths]
        app.file_uploader[0].set_value(files).run()
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
    assert upload(tmp_path / "plain.wav", content=wav_bytes(samples, rate, riff=0, data=0)).metric
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
            np.resize([0.5, -0.5], 601 * RATE),
            "This clip cannot be used: too long, at 1 channels of 16,000 Hz; up to 600 s",
        ),
    ],
)
def test_a_useless_clip_gets_a_friendly_message(upload, tmp_path, samples, message):
    soundfile.write(tmp_path / "clip.wav", samples, RATE)
    app = upload(tmp_path / "clip.wav")
    assert app.error[0].value.startswith(message) and not app.metric


def test_a_file_that_is_no_sound_gets_a_friendly_message(upload, tmp_path):
    app = upload(tmp_path / "clip.wav", content=b"no sound")
    assert app.error[0].value == "This clip cannot be used: not a readable sound file (Format not recognised.)."


def test_notices_come_with_the_answer(upload, tmp_path):
    samples, rate = soundfile.read(speak(tmp_path / "clip.wav", rate=8000))
    assert warnings(upload(tmp_path / "clip.wav")) == [
        "Nothing above 4 kHz, as in telephone recordings: the answer is less reliable."
    ]
    soundfile.write(tmp_path / "clip.wav", np.stack([samples, -samples], axis=1), rate)
    app = upload(tmp_path / "clip.wav")
    assert app.metric and warnings(app)[0].startswith("Its channels cancel each other; ")


def test_several_clips_get_a_table(upload, tmp_path):
    paths = [speak(tmp_path / f"{number}.wav", pitch=100 + 50 * number) for number in range(3)]
    (tmp_path / "none.wav").write_bytes(b"no sound")
    app = upload(*paths, tmp_path / "none.wav")
    table = app.dataframe[0].value
    assert list(table.index) == ["1. 0.wav", "2. 1.wav", "3. 2.wav"]
    assert app.error[0].value.startswith("4. none.wav cannot be used: not a readable sound file")
    model = Recogniser.load()
    for path, (_, row) in zip(paths, table.iterrows(), strict=True):
        assert row[EMOTIONS].to_dict() == pytest.approx(model(path), abs=1e-4)
        assert row["emotion"] == row[EMOTIONS].astype(float).idxmax()
    assert app.metric[0].value == table["emotion"].iloc[0]
    app.selectbox[0].select("3. 2.wav").run()
    assert app.metric[0].value == table["emotion"].iloc[2]


def test_clips_of_one_person_are_corrected_for_the_voice(upload, tmp_path):
    paths = [speak(tmp_path / f"{number}.wav", pitch=100 + 50 * number) for number in range(7)]
    app = upload(*paths)
    before = app.dataframe[0].value[EMOTIONS]
    app.checkbox[0].check().run()
    table = app.dataframe[0].value
    after = table[EMOTIONS]
    logs = np.log(before.to_numpy(dtype=float))
    others = np.stack([np.delete(logs, clip, 0).mean(0) for clip in range(7)])
    corrected = np.exp(logs - others / 2)
    np.testing.assert_allclose(after, corrected / corrected.sum(1, keepdims=True), atol=1e-3)
    for name, row in table.iterrows():
        app.selectbox[0].select(name).run()
        assert app.metric[0].value == row["emotion"] and app.metric[0].delta == f"{row[row['emotion']]:.0%}"


def test_a_long_recording_gets_a_timeline(upload, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(pictures, "timeline", lambda segments, *_: drawn.append(segments) or Figure())
    app = upload(speak(tmp_path / "long.wav", seconds=12.5))
    assert [value.value for value in app.subheader] == ["Over time"]
    assert len(drawn[0]) == 7 and drawn[0][-1].end == 12.5


def test_an_answer_is_explained(upload, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(pictures, "explained", lambda mel, falls, *_: drawn.append((mel, falls)) or Figure())
    app = upload(speak(tmp_path / "clip.wav"))
    app.toggle[0].set_value(True).run()
    ((mel, falls),) = drawn
    assert mel.shape == falls.shape and np.abs(falls).max() > 0
