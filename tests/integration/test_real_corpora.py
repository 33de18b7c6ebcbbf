"""EmoDB and RAVDESS as published: needs SER_MIRROR."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from ser import Recogniser
from ser.audio.io import load_audio, read_audio
from ser.audio.mel import melspectrogram
from ser.corpora import archive, emodb, ravdess, scan
from ser.data import manifest
from tests.helpers import toy_model
from tests.helpers.audio import (
    AUDIO,
    MELS,
    RATE,
    UNTRIMMED,
    assert_trimmed_as_by_librosa,
    librosa_mel,
    there_and_back,
)
from tests.helpers.files import contents, zip_files

CLIPS = [
    "emodb/wav/03a01Fa.wav",
    "emodb/wav/14a07Wc.wav",  # with a header of 4,096 bytes
    "emodb/wav/16b10Wb.wav",
    "ravdess/Actor_01/03-01-01-01-01-01-01.wav",
    "ravdess/Actor_01/03-01-02-01-01-02-01.wav",  # stereo
    "ravdess/Actor_09/03-01-04-01-01-01-09.wav",  # peaks below 1 % of full scale
    "ravdess/Actor_24/03-01-05-02-02-02-24.wav",
]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("corpus", [emodb, ravdess])
def test_real_clips_from_a_folder_and_from_the_popular_copies(mirror, corpus):
    """EmoDB with its files at the top, RAVDESS with every file twice; ten speakers and one actor of them."""
    listed = corpus.SOURCE.digests()
    name = corpus.SOURCE.name
    wanted = [path for path in listed if path.parent.name in ("wav", "Actor_01")]
    short = Path("short.sha256")
    short.write_text("".join(f"{listed[path]}  {path}\n" for path in wanted))
    source = archive.Source(name, corpus.SOURCE.url, short)
    inner = "audio_speech_actors_01-24/" if name == "ravdess" else ""
    files = {path.as_posix(): (mirror / name / path).read_bytes() for path in wanted}
    if inner:
        files |= {inner + path: data for path, data in files.items()}
    else:
        files = {Path(path).name: data for path, data in files.items()}
    zip_files(Path(f"popular/{name}.zip"), files)
    archive.fetch(source, Path("from_folder"), mirror)
    archive.fetch(source, Path("from_zip"), Path("popular"))
    assert contents(Path("from_zip")) == contents(Path("from_folder"))
    assert {*contents(Path("from_zip"))} == {path.as_posix() for path in wanted}


def test_the_catalogue(mirror):
    Path("data").mkdir()
    Path("data/corpora").symlink_to(mirror)
    table = scan.build(Path(), ["emodb", "ravdess"])
    clips = dict(list(table.groupby("corpus")))
    speakers = {corpus: set(part["speaker"]) for corpus, part in clips.items()}
    assert {corpus: len(part) for corpus, part in clips.items()} == {"emodb": 535, "ravdess": 1440}
    assert {corpus: len(names) for corpus, names in speakers.items()} == {"emodb": 10, "ravdess": 24}
    assert clips["emodb"].groupby("emotion").size().to_dict() == {
        "anger": 127,
        "boredom": 81,
        "disgust": 46,
        "fear": 69,
        "happiness": 71,
        "neutral": 79,
        "sadness": 62,
    }
    assert clips["ravdess"].groupby("emotion").size().to_dict() == {"neutral": 96} | dict.fromkeys(
        ("anger", "calm", "disgust", "fear", "happiness", "sadness", "surprise"), 192
    )
    men = {corpus: set(part.loc[part["sex"] == "male", "speaker"]) for corpus, part in clips.items()}
    assert men["emodb"] == {f"emodb-{speaker}" for speaker in ("03", "10", "11", "12", "15")}
    assert men["ravdess"] == {f"ravdess-{actor:02}" for actor in range(1, 25, 2)}
    assert clips["emodb"]["seconds"].agg(["min", "mean", "max"]).round(2).tolist() == [1.23, 2.78, 8.98]
    assert clips["ravdess"]["seconds"].agg(["min", "mean", "max"]).round(2).tolist() == [2.94, 3.70, 5.27]
    assert manifest.duplicates(table) == [["ravdess/03-01-03-01-02-01-07", "ravdess/03-01-03-01-02-02-07"]]


def test_no_clip_gets_a_notice_and_every_one_does_as_a_telephone_call(mirror, tmp_path):
    """The thresholds leave room on either side."""
    model = Recogniser.load(toy_model.export(tmp_path / "export"))
    model = replace(model, audio=AUDIO, mels=MELS)  # the network takes any number of bands
    for path in sorted(mirror.rglob("*.wav"))[::40]:
        recording = read_audio(path)
        assert recording.notices() + model.band_notices(melspectrogram(load_audio(path, AUDIO), RATE, MELS)) == []
        narrow = soxr.resample(recording.samples.mean(axis=1), recording.rate, 8000)
        soundfile.write("narrow.wav", narrow, 8000)
        assert len(model.band_notices(melspectrogram(load_audio("narrow.wav", AUDIO), RATE, MELS))) == 1


@pytest.mark.parametrize("corpus", ["emodb", "ravdess"])
def test_one_inverted_channel_changes_no_mel(mirror, corpus):
    """But for a noise that is 60 dB softer than the clip."""
    rng = np.random.default_rng(0)
    for path in sorted((mirror / corpus).rglob("*.wav"))[::100]:
        samples, rate = soundfile.read(path, always_2d=True)
        samples = samples.mean(axis=1)
        noise = rng.normal(0, 1e-3 * samples.std(), (len(samples), 2))
        soundfile.write("plain.wav", samples, rate, subtype="FLOAT")
        soundfile.write("inverted.wav", np.stack([samples, -samples], axis=1) + noise, rate, subtype="FLOAT")
        plain, inverted = (load_audio(f"{name}.wav", UNTRIMMED) for name in ("plain", "inverted"))
        mels = [melspectrogram(mono, RATE, MELS) for mono in (plain, inverted)]
        loud = mels[0] > -30
        assert np.abs(mels[1] - mels[0])[loud].max() < 1


@pytest.mark.parametrize("corpus", ["emodb", "ravdess"])
def test_clips_are_trimmed_as_by_librosa(mirror, corpus):
    for path in sorted((mirror / corpus).rglob("*.wav"))[::25]:
        samples = load_audio(path, UNTRIMMED)
        assert_trimmed_as_by_librosa(samples, 30.0)
        assert_trimmed_as_by_librosa(samples, 12.5)


@pytest.mark.parametrize("clip", CLIPS)
def test_mels_agree_with_librosa(mirror, clip):
    samples = load_audio(mirror / clip, AUDIO)
    mel = melspectrogram(samples, RATE, MELS)
    assert mel.dtype == np.float32
    np.testing.assert_allclose(mel, librosa_mel(samples), rtol=0, atol=0.01)


@pytest.mark.parametrize("clip", CLIPS)
def test_the_mel_of_the_sound_of_a_clip_is_within_one_decibel(mirror, clip):
    before, _, after = there_and_back(mirror / clip)
    assert before.shape == after.shape
    assert np.abs(after - before).mean() < 1
