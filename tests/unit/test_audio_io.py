import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.audio import io
from ser.audio.io import load_audio, read_audio
from ser.audio.mel import melspectrogram
from ser.core.errors import InputError
from tests.helpers.audio import (
    AUDIO,
    MELS,
    RATE,
    STREAMS,
    UNTRIMMED,
    assert_trimmed_as_by_librosa,
    chunk,
    wav_bytes,
)

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


NOISE = np.random.default_rng(0).normal(0, 1e-4, (2, len(tone())))
INVERTED = {
    "exactly": (tone(), -tone()),
    "with noise": (tone() + NOISE[0], -tone() + NOISE[1]),
    "softer": (tone(), -0.98 * tone()),
    "off zero": (tone() + 0.1, -0.98 * tone() + 0.1),
    "behind a silent one": (0 * tone(), tone(), -tone()),
}


@pytest.mark.parametrize("channels", INVERTED.values(), ids=INVERTED)
def test_of_channels_that_cancel_each_other_the_loudest_is_taken_and_it_is_said(wav, channels):
    path = wav(np.stack(channels, axis=1))
    loudest = channels[np.argmax([channel.std() for channel in channels])]
    np.testing.assert_allclose(load_audio(path, UNTRIMMED), loudest, atol=1e-6)
    assert "its channels cancel each other" in read_audio(path).notices(UNTRIMMED)[0]
    assert not any("cancel" in notice for notice in read_audio(path).notices(FIRST_CHANNEL))


@pytest.mark.parametrize(
    "channels",
    [
        (tone(), tone()),
        (tone(), 0 * tone()),
        (tone(), tone(pitch=600)),
        (tone(), -0.5 * tone()),
        (0 * tone(), 0 * tone(), tone(), 0 * tone(), 0 * tone(), 0 * tone()),
        16 * (tone(),),
    ],
    ids=["same", "left", "independent", "half inverted", "5.1", "16"],
)
def test_other_channels_do_not_cancel(wav, channels):
    path = wav(np.stack(channels, axis=1))
    np.testing.assert_allclose(load_audio(path, UNTRIMMED), np.mean(channels, axis=0), atol=1e-6)
    assert read_audio(path).notices() == []


def test_a_silent_first_channel_is_no_sound(wav):
    path = wav(np.stack([0 * tone(), tone()], axis=1))
    with pytest.raises(InputError, match=r"clip.wav: no sound in it \(its first channel is silent\)"):
        load_audio(path, FIRST_CHANNEL)


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


USELESS = {
    "empty": (np.zeros(0), "empty, no samples"),
    "one sample": ([0.5], "lasts 0.0 ms; at least 50 ms are needed"),
    "10 ms": (tone(seconds=0.01), "lasts 10.0 ms; at least 50 ms are needed"),
    "silent": (np.zeros(8000), "silent, its peak is 0.0e+00 of full scale"),
    "nearly silent": (tone(peak=5e-5), "silent, its peak is 5.0e-05 of full scale"),
    "constant": (np.full(8000, 0.5), "silent, a constant"),
    "constant with noise": (0.5 + tone(peak=5e-5), "silent, a constant"),
    "nan": (np.append(tone(), np.nan), "holds samples that are not finite"),
    "infinite": (np.append(tone(), np.inf), "holds samples that are not finite"),
    "huge": (1e30 * tone(), "no sound, its peak is 5.0e+29 of full scale"),
}


@pytest.mark.parametrize(("samples", "message"), USELESS.values(), ids=USELESS)
def test_useless_sound_is_refused_by_the_name_of_its_file(wav, samples, message):
    path = wav(samples)
    with pytest.raises(InputError, match=f"^{re.escape(f'{path}: {message}')}"):
        load_audio(path, UNTRIMMED)


def test_sound_that_the_sample_rate_does_not_hold_is_no_sound(wav):
    ramp = np.sin(np.linspace(0, np.pi, 96000))
    path = wav(ramp * tone(192000, pitch=40000), 192000)
    with pytest.raises(InputError, match=r"no sound in it \(what is left at 22,050 Hz is silent\)"):
        load_audio(path, UNTRIMMED)


def test_the_shortest_and_the_longest_clip(wav, monkeypatch):
    assert len(load_audio(wav(tone(seconds=io.SHORTEST + 1e-4)), AUDIO)) >= 2 * MELS.hop
    assert read_audio(wav(tone()), longest=0.5).seconds == 0.5
    with pytest.raises(InputError, match=r"clip.wav: too long, at 1 channels of 22,050 Hz; up to 0.4 s .*cut it"):
        read_audio(wav(tone()), longest=0.4)
    monkeypatch.setattr(io, "LARGEST", 10_000)
    with pytest.raises(InputError, match=r"clip.wav: too long, .* 10,000 samples are taken"):
        read_audio(wav(tone()))


# Files


@pytest.mark.parametrize("content", [b"", b"no sound at all", bytes(range(256)) * 40], ids=["0", "text", "bytes"])
def test_a_file_that_is_not_a_sound_is_named(tmp_path, content):
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"^{path}: not a readable sound file \(Format not recognised.\)$"):
        load_audio(path, UNTRIMMED)


@pytest.mark.parametrize("length", [4, 12, 20, 36])
def test_a_truncated_header_is_named(wav, length):
    path = wav(tone())
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=rf"^{path}: "):
        load_audio(path, UNTRIMMED)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=r"^data/corpora/gone.wav: not a readable sound file \(No such file"):
        load_audio(Path("data/corpora/gone.wav"), UNTRIMMED)
    with pytest.raises(InputError, match=rf"^{tmp_path}: not a readable sound file \(Is a directory"):
        load_audio(tmp_path, UNTRIMMED)


@pytest.mark.parametrize("error", [ValueError, TypeError, AssertionError, UnicodeError, ZeroDivisionError, OSError])
def test_whatever_the_reader_raises_names_the_file(wav, monkeypatch, error):
    def read(*_, **__):
        raise error("it broke")

    monkeypatch.setattr(soundfile.SoundFile, "read", read)
    with pytest.raises(InputError, match=r"clip.wav: not a readable sound file \(it broke\)$"):
        load_audio(wav(tone()), UNTRIMMED)


@pytest.mark.parametrize("subtype", sorted(soundfile.available_subtypes("WAV")))
def test_every_codec_of_wav_is_decoded_or_refused(tmp_path, subtype):
    """GSM 6.10 cannot be rewound, which is not needed."""
    path = tmp_path / "clip.wav"
    try:
        soundfile.write(path, tone(8000, seconds=2), 8000, subtype=subtype)
    except soundfile.LibsndfileError:
        pytest.skip("not written by this libsndfile, at this rate")
    samples = load_audio(path, UNTRIMMED.model_copy(update={"sample_rate": 8000}))
    assert abs(len(samples) - 16000) < 1000
    assert 0.3 < np.abs(samples).max() < 0.7


@pytest.mark.parametrize("suffix", io.SUFFIXES)
def test_every_suffix_in_the_list_is_that_of_a_format_that_is_read(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    (name,) = (name for name, suffixes in io._SUFFIXES.items() if suffix in suffixes)
    rate = 8000 if name == "WVE" else 48000
    soundfile.write(path, tone(rate), rate, format=name, subtype="OPUS" if suffix == ".opus" else None)
    assert abs(len(load_audio(path, UNTRIMMED)) - len(tone())) < 1200


@pytest.mark.parametrize("sizes", STREAMS.values(), ids=STREAMS)
def test_a_stream_is_read_to_its_end_whatever_its_header_says(tmp_path, sizes):
    path, plain = tmp_path / "clip.wav", tmp_path / "plain.wav"
    path.write_bytes(wav_bytes(tone(), **sizes))
    plain.write_bytes(wav_bytes(tone()))
    np.testing.assert_array_equal(load_audio(path, UNTRIMMED), load_audio(plain, UNTRIMMED))


def test_a_flac_of_unknown_length_is_read_to_its_end(tmp_path):
    path = tmp_path / "clip.flac"
    soundfile.write(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # the number of samples, 36 bits
    content[22:26] = bytes(4)
    path.write_bytes(content)
    np.testing.assert_allclose(load_audio(path, UNTRIMMED), tone(), atol=1e-4)


def test_a_pipe_is_read_as_well(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    threading.Thread(target=path.write_bytes, args=[wav_bytes(tone())], daemon=True).start()
    np.testing.assert_allclose(load_audio(path, UNTRIMMED), tone(), atol=1e-4)


@pytest.mark.parametrize("big_endian", [False, True])
def test_a_file_that_was_cut_is_refused_and_a_slip_in_its_header_is_not(tmp_path, big_endian):
    path = tmp_path / "clip.wav"
    content = wav_bytes(tone(), big_endian=big_endian)
    path.write_bytes(content[:-4000])
    with pytest.raises(InputError, match=r"clip.wav: truncated, 4,000 bytes of audio are missing$"):
        load_audio(path, UNTRIMMED)
    path.write_bytes(content[:-2])
    assert len(load_audio(path, UNTRIMMED)) == len(tone()) - 1


def test_chunks_around_the_samples_are_not_sound(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(wav_bytes(tone(), before=chunk(b"JUNK", bytes(30)), after=chunk(b"LIST", b"INFO" + 400 * b"x")))
    assert len(load_audio(path, UNTRIMMED)) == len(tone())
    path.write_bytes(wav_bytes(np.zeros(0), after=chunk(b"LIST", b"INFO" + 4000 * b"x")))
    with pytest.raises(InputError, match="clip.wav: empty, no samples"):
        load_audio(path, UNTRIMMED)


def test_large_wav_formats_are_read(tmp_path):
    """Their sizes of 32 bits are -1, as those of a stream."""
    for name in ("RF64", "W64", "WAVEX"):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, tone(), RATE, format=name, subtype="PCM_16")
        assert len(load_audio(path, UNTRIMMED)) == len(tone())


def test_a_name_in_no_unicode_encoding_is_read(tmp_path):
    path = tmp_path / os.fsdecode("fr\xf6hlich.wav".encode("latin-1"))
    path.write_bytes(wav_bytes(tone()))
    assert len(load_audio(path, UNTRIMMED)) == len(tone())


# Offsets


def test_an_offset_is_noticed_and_removed_where_params_say_so(wav):
    without, removed = tone(pitch=300), AUDIO.model_copy(update={"remove_mean": True})

    def mel(samples, config):
        return melspectrogram(load_audio(wav(samples), config), RATE, MELS)

    np.testing.assert_allclose(mel(without + 0.2, removed), mel(without, AUDIO), atol=0.5)
    assert np.abs(mel(without + 0.2, AUDIO) - mel(without, AUDIO)).max() > 20
    assert "a constant offset of 20.0% of full scale" in read_audio(wav(without + 0.2)).notices(AUDIO)[0]
    assert read_audio(wav(without + 0.2)).notices(removed) == []


def test_a_small_offset_is_not_worth_a_notice(wav):
    assert read_audio(wav(tone() + 0.01)).notices() == []
