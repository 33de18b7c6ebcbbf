import librosa
import numpy as np
import pytest

from ser.audio import mel_scale
from ser.audio.io import Audio, load_audio
from ser.audio.mel import Mels, melspectrogram
from ser.core.errors import InputError
from ser.data import mel_store

SETTINGS = Mels(n_fft=1024, hop=512, n_mels=80, fmin=0.0, fmax=8000.0)
SOUND = Audio(sample_rate=22050, channel="mean", trim_db=30.0)
RATE = SOUND.sample_rate
CLIPS = [
    "emodb/wav/03a01Fa.wav",
    "emodb/wav/14a07Wc.wav",  # with a header of 4,096 bytes
    "emodb/wav/16b10Wb.wav",
    "ravdess/Actor_01/03-01-01-01-01-01-01.wav",
    "ravdess/Actor_01/03-01-02-01-01-02-01.wav",  # stereo
    "ravdess/Actor_09/03-01-04-01-01-01-09.wav",  # peaks below 1 % of full scale
    "ravdess/Actor_24/03-01-05-02-02-02-24.wav",
]


def by_librosa(samples, settings=SETTINGS):
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=RATE,
        n_fft=settings.n_fft,
        hop_length=settings.hop,
        n_mels=settings.n_mels,
        fmin=settings.fmin,
        fmax=settings.fmax,
    )
    return librosa.power_to_db(power, ref=np.max, top_db=80).T


def noise(length, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, length).astype(np.float32)


@pytest.mark.parametrize("clip", CLIPS)
def test_real_clips_agree_with_librosa(mirror, clip):
    samples = load_audio(mirror / clip, SOUND)
    spectrum = melspectrogram(samples, RATE, SETTINGS)
    assert spectrum.dtype == np.float32
    np.testing.assert_allclose(spectrum, by_librosa(samples), rtol=0, atol=0.01)


@pytest.mark.parametrize("length", [1500, 5119, 5120, 5121, 30000])
def test_noise_agrees_with_librosa(length):
    samples = noise(length)
    np.testing.assert_allclose(melspectrogram(samples, RATE, SETTINGS), by_librosa(samples), rtol=0, atol=0.01)


@pytest.mark.parametrize("change", [{"n_fft": 512}, {"hop": 200}, {"n_mels": 40}, {"fmin": 300.0}, {"fmax": 11025.0}])
def test_each_knob_agrees_with_librosa(change):
    settings = SETTINGS.model_copy(update=change)
    samples = noise(8000) + 0.3 * np.sin(np.arange(8000, dtype=np.float32) / 4)
    spectrum = melspectrogram(samples, RATE, settings)
    np.testing.assert_allclose(spectrum, by_librosa(samples, settings), rtol=0, atol=0.01)


@pytest.mark.parametrize("low, high", [(0, 8000), (300, 900), (1000, 11025), (1200.0, 8000.0)])
def test_the_scale_is_that_of_librosa(low, high):
    np.testing.assert_allclose(
        mel_scale.frequencies(20, low, high), librosa.mel_frequencies(20, fmin=low, fmax=high), rtol=1e-12, atol=1e-9
    )


def test_a_clip_shorter_than_a_window_still_gives_frames():
    spectrum = melspectrogram(noise(300), RATE, SETTINGS)
    assert spectrum.shape == (1, 80)
    assert spectrum.max() == 0


def test_the_level_of_a_recording_does_not_show():
    samples = np.concatenate([noise(20000), 1e-4 * noise(20000)])
    loud, soft = (melspectrogram(gain * samples, RATE, SETTINGS) for gain in (np.float32(4), np.float32(0.25)))
    np.testing.assert_allclose(loud, soft, rtol=0, atol=1e-3)
    assert loud.max() == 0
    assert -80 <= loud.min() < -70


def test_packed_mels_are_the_nearest_half_precision_numbers(tmp_path):
    spectrum = melspectrogram(noise(30000), RATE, SETTINGS)
    mel_store.write(tmp_path / "mels", [({"clip": "a"}, spectrum)])
    packed = mel_store.read(tmp_path / "mels").frames
    error = np.abs(packed.astype(np.float32) - spectrum)
    for neighbour in (np.nextafter(packed, np.float16(-100)), np.nextafter(packed, np.float16(100))):
        assert (error <= np.abs(neighbour.astype(np.float32) - spectrum)).all()
    assert error.max() <= 2**-5  # dB: half a step below 64 dB


@pytest.mark.parametrize("change", [{"fmax": 11026.0}, {"fmin": 8000.0}, {"fmin": 9000.0}])
def test_frequencies_that_the_sound_does_not_hold_are_refused(change):
    with pytest.raises(InputError, match=r"^params.yaml: expected mels.fmin < mels.fmax <= 11025 Hz, half of audio"):
        melspectrogram(noise(3000), RATE, SETTINGS.model_copy(update=change))
