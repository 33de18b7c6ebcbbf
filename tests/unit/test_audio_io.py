from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.audio.io import load_audio
from ser.core.errors import InputError
from tests.helpers.audio import AUDIO, UNTRIMMED, assert_trimmed_as_by_librosa

FIRST_CHANNEL = UNTRIMMED.model_copy(update={"channel": "first"})


def tone(rate=22050, seconds=0.5, pitch=441, peak=0.5):
    return (peak * np.sin(2 * np.pi * pitch * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


@pytest.fixture
def wav(tmp_path):
    """A function that writes samples to a wav file of 32-bit floats and returns its path."""

    def write(samples, rate=22050):
        soundfile.write(tmp_path / "clip.wav", samples, rate, subtype="FLOAT")
        return tmp_path / "clip.wav"

    return write


def test_samples_at_the_right_rate_are_not_changed(wav):
    samples = load_audio(wav(tone()), UNTRIMMED)
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, tone())


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_other_rates_become_22050_hz(wav, rate):
    samples = load_audio(wav(tone(rate), rate), UNTRIMMED)
    assert abs(len(samples) - 22050 * 0.5) <= 1
    middle = slice(2000, 9000)
    np.testing.assert_allclose(samples[middle], tone()[: len(samples)][middle], atol=1e-3)


def test_channels_are_averaged_or_the_first_is_taken(wav):
    path = wav(np.stack([tone(), np.zeros_like(tone()), -0.5 * tone()], axis=1))
    np.testing.assert_allclose(load_audio(path, UNTRIMMED), tone() / 6, atol=1e-6)
    np.testing.assert_array_equal(load_audio(path, FIRST_CHANNEL), tone())


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_U8", "FLOAT"])
def test_every_kind_of_sample_is_read_as_soundfile_does(tmp_path, subtype):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.stack([tone(), tone(pitch=300, peak=1)], axis=1), 22050, subtype=subtype)
    samples, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_array_equal(load_audio(path, FIRST_CHANNEL), samples[:, 0])
    np.testing.assert_array_equal(load_audio(path, UNTRIMMED), samples.mean(axis=1))


def test_channels_that_cancel_out_are_silence(wav):
    path = wav(np.stack([tone(), -tone()], axis=1))
    with pytest.raises(InputError, match="no sound in it"):
        load_audio(path, UNTRIMMED)
    np.testing.assert_array_equal(load_audio(path, FIRST_CHANNEL), tone())


def test_only_leading_and_trailing_parts_below_the_threshold_are_cut(wav):
    hush = tone(peak=0.005)  # 40 dB below
    path = wav(np.concatenate([hush, tone(), hush, tone(), hush]))
    assert abs(len(load_audio(path, AUDIO)) - 3 * len(tone())) < 4096  # librosa cuts whole frames
    assert len(load_audio(path, AUDIO.model_copy(update={"trim_db": 60.0}))) == 5 * len(tone())
    assert len(load_audio(path, UNTRIMMED)) == 5 * len(tone())


@pytest.mark.parametrize("length", [1, 300, 511, 512, 513, 2048, 20000])
def test_clips_of_any_length_are_trimmed_as_by_librosa(length):
    rng = np.random.default_rng(length)
    envelope = np.exp(-(np.linspace(-3, 4, length) ** 2))
    assert_trimmed_as_by_librosa((rng.normal(size=length) * envelope).astype(np.float32), 30.0)


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0), np.zeros(8000), np.append(tone(), np.nan), np.append(tone(), np.inf)],
    ids=["empty", "silent", "nan", "infinite"],
)
def test_useless_sound_is_refused_by_the_name_of_its_file(wav, samples):
    path = wav(samples)
    with pytest.raises(InputError, match=rf"^{path}: no sound in it \(empty, silent or not finite\)"):
        load_audio(path, UNTRIMMED)


@pytest.mark.parametrize("content", [b"", b"no sound at all", bytes(range(256)) * 40], ids=["0", "text", "bytes"])
def test_a_file_that_is_not_a_sound_is_named(tmp_path, content):
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"^{path}: not a readable sound file .*; replace it or remove it"):
        load_audio(path, UNTRIMMED)


@pytest.mark.parametrize("length", [4, 12, 20, 36])
def test_a_truncated_header_is_named(wav, length):
    path = wav(tone())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=rf"^{path}: "):
        load_audio(path, UNTRIMMED)


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"^data/corpora/gone.wav: not a readable sound file"):
        load_audio(Path("data/corpora/gone.wav"), UNTRIMMED)
