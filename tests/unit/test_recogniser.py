"""The exported model in Python and as ONNX."""

import json
import shutil
from contextlib import suppress
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import soundfile
import soxr
import torch

from ser import Recogniser, recogniser
from ser.audio.io import load_audio
from ser.audio.mel import melspectrogram
from ser.core.errors import InputError
from ser.corpora import scan
from ser.data.clips import Clips
from stages import export
from tests.helpers import toy_model
from tests.helpers.audio import STREAMS, wav_bytes
from tests.helpers.files import write_files
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
    probabilities = model.probabilities([time_major.T.astype(np.float32)])[0]
    np.testing.assert_allclose(probabilities, torch.softmax(logits, 0), atol=1e-6)
    assert probabilities.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "write, message",
    [
        (lambda path: path.write_bytes(b"no sound"), "not a readable sound file"),
        (lambda path: path.write_bytes(b""), "not a readable sound file"),
        (lambda path: path.mkdir(), "not a readable sound file"),
        (lambda path: soundfile.write(path, np.zeros(8000), RATE), "silent, its peak is 0"),
        (lambda path: soundfile.write(path, np.full(8000, 0.5), RATE), "silent, a constant"),
        (lambda path: soundfile.write(path, np.zeros(0), RATE), "empty, no samples"),
        (lambda path: soundfile.write(path, [0.5], RATE), "lasts 0.1 ms; at least 50 ms are needed"),
        (lambda path: speak(path, seconds=0.02), "lasts 20.0 ms; at least 50 ms are needed"),
        (lambda path: soundfile.write(path, np.ones(601 * 1000), 1000), "too long, .*; up to 600 s"),
    ],
)
def test_a_useless_file_is_refused(folder, tmp_path, write, message):
    write(tmp_path / "clip.wav")
    with pytest.raises(InputError, match=f"clip.wav: {message}"):
        Recogniser.load(folder)(tmp_path / "clip.wav")


# What an answer comes with


def test_an_answer_says_what_it_is_computed_from(folder, tmp_path):
    model, path = Recogniser.load(folder), speak(tmp_path / "clip.wav")
    recognition = model.recognise(path)
    np.testing.assert_array_equal(recognition.samples, load_audio(path, model.audio))
    np.testing.assert_array_equal(recognition.mel, melspectrogram(recognition.samples, RATE, model.mels))
    answer = recognition.answer
    assert answer.probabilities == model(path)
    assert answer.probabilities[answer.emotion] == max(answer.probabilities.values())
    assert answer.notices == []


@pytest.mark.parametrize("subtype", ["PCM_16", "ULAW", "GSM610"])
@pytest.mark.parametrize("upsampled", [False, True])
def test_a_narrow_band_is_noticed_whatever_the_rate_of_the_file(folder, tmp_path, subtype, upsampled):
    """Telephone speech keeps its band when it is stored at a higher rate."""
    samples, rate = soundfile.read(speak(tmp_path / "wide.wav", pitch=210))
    samples = soxr.resample(samples, rate, 8000)
    path = tmp_path / "clip.wav"
    soundfile.write(path, samples, 8000, subtype=subtype)
    if upsampled:
        samples, _ = soundfile.read(path, frames=7900)
        soundfile.write(path, soxr.resample(samples, 8000, 44100), 44100)
    assert Recogniser.load(folder).recognise(path).answer.notices == [
        "nothing above 4 kHz, as in telephone recordings: the answer is less reliable"
    ]


@pytest.mark.parametrize("rate", [11025, 16000, 44100])
def test_a_wide_band_is_not(folder, tmp_path, rate):
    assert Recogniser.load(folder).recognise(speak(tmp_path / "clip.wav", rate=rate)).answer.notices == []


def test_a_model_of_a_narrow_band_needs_no_more(folder, tmp_path):
    model = Recogniser.load(folder)
    model = replace(model, mels=model.mels.model_copy(update={"fmax": 4000.0}))
    assert model.recognise(speak(tmp_path / "clip.wav", rate=8000)).answer.notices == []


@pytest.mark.parametrize("inverted", [-1, -0.98])
def test_an_inverted_channel_changes_no_answer_and_is_noticed(folder, tmp_path, inverted):
    model, plain, path = Recogniser.load(folder), speak(tmp_path / "plain.wav"), tmp_path / "clip.wav"
    samples, rate = soundfile.read(plain)
    noise = np.random.default_rng(0).normal(0, 1e-4, (len(samples), 2))
    soundfile.write(path, np.stack([samples, inverted * samples], axis=1) + noise, rate)
    answer = model.recognise(path).answer
    assert answer.probabilities == pytest.approx(model(plain), abs=0.05)
    assert "its channels cancel each other" in answer.notices[0]


def test_an_offset_is_noticed_and_changes_no_answer_of_a_model_that_removes_it(folder, tmp_path):
    model, plain, path = Recogniser.load(folder), speak(tmp_path / "plain.wav"), tmp_path / "clip.wav"
    samples, rate = soundfile.read(plain)
    soundfile.write(path, samples / 2 + 0.2, rate)
    assert "a constant offset of 20" in model.recognise(path).answer.notices[0]
    model = replace(model, audio=model.audio.model_copy(update={"remove_mean": True}))
    answer = model.recognise(path).answer
    assert answer.notices == []
    assert answer.probabilities == pytest.approx(model(plain), abs=0.02)


def test_a_model_that_was_exported_before_the_mean_could_be_removed_keeps_it(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "export")
    facts = json.loads((folder / "model.json").read_text())
    del facts["params"]["audio"]["remove_mean"]
    (tmp_path / "export/model.json").write_text(json.dumps(facts))
    assert Recogniser.load(tmp_path / "export").audio == Recogniser.load(folder).audio


# Files


def odd_files(place):
    """Files of which some are readable and some are not."""
    samples, rate = soundfile.read(speak(place / "plain.wav"))
    for name, sizes in STREAMS.items():
        (place / f"{name}.wav").write_bytes(wav_bytes(samples, rate, **sizes))
    for subtype in ("PCM_24", "PCM_U8", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610"):
        soundfile.write(place / f"{subtype}.wav", samples, rate, subtype=subtype)
    for name, format_name in {"mp3": "MP3", "flac": "FLAC", "ogg": "OGG", "rf64": "RF64"}.items():
        soundfile.write(place / f"{name} named so.wav", samples, rate, format=format_name)
    soundfile.write(place / "inverted.wav", np.stack([samples, -samples], axis=1), rate)
    soundfile.write(place / "short.wav", samples[:100], rate)
    soundfile.write(place / "constant.wav", np.full(8000, 0.5), rate)
    soundfile.write(place / "faint.wav", 1e-5 * samples, rate, subtype="FLOAT")
    (place / "cut.wav").write_bytes(wav_bytes(samples, rate)[:-4000])
    (place / "text.wav").write_text("no sound")
    return sorted(place.iterdir())


def test_the_catalogue_the_mels_and_predict_agree_on_what_is_readable(folder, tmp_path):
    model = Recogniser.load(folder)
    readers = {"catalogue": scan.measure, "mels": lambda path: load_audio(path, model.audio), "predict": model}
    read = {name: set() for name in readers}
    for name, reader in readers.items():
        for path in odd_files(tmp_path):
            with suppress(InputError):
                reader(path)
                read[name].add(path.name)
    unreadable = {"short.wav", "constant.wav", "faint.wav", "cut.wav", "text.wav"}
    assert read["catalogue"] == {path.name for path in tmp_path.iterdir()} - unreadable
    assert read["mels"] == read["predict"] == read["catalogue"]


def test_a_folder_stands_for_its_sound_files_and_says_what_it_skips(tmp_path):
    names = ["b.wav", "a.opus", "sub/c.FLAC", "._b.wav", "__MACOSX/b.wav", "d.m4a", "sub/e.webm", "sub/f.M4A"]
    write_files(tmp_path / "clips", dict.fromkeys(names, b""))
    write_files(tmp_path / "elsewhere", {"g.wav": b""})
    (tmp_path / "clips/link").symlink_to(tmp_path / "elsewhere")
    sounds, (notice,) = recogniser.sound_files(tmp_path / "clips")
    assert [path.relative_to(tmp_path / "clips").as_posix() for path in sounds] == [
        "a.opus",
        "b.wav",
        "link/g.wav",
        "sub/c.FLAC",
    ]
    assert f"{tmp_path}/clips: skipped 2 .m4a, 1 .webm; what is read are .aif " in notice
    assert recogniser.sound_files(tmp_path / "clips/d.m4a") == ([tmp_path / "clips/d.m4a"], [])


def test_a_folder_without_sound_files_says_what_it_holds(tmp_path):
    write_files(tmp_path, {"a.m4a": b"", "._b.wav": b""})
    with pytest.raises(InputError, match=f"{tmp_path}: no sound files in this folder; {tmp_path}: skipped 1 .m4a;"):
        recogniser.sound_files(tmp_path)


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
