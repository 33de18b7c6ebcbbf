import librosa
import numpy as np
import pytest

from ser.audio import mel_scale
from ser.audio.mel import melspectrogram
from ser.core.errors import InputError
from ser.data import mel_store
from tests.helpers.audio import MELS, RATE, librosa_mel


def noise(length, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, length).astype(np.float32)


@pytest.mark.parametrize("length", [1500, 5119, 5120, 5121, 30000])
def test_noise_agrees_with_librosa(length):
    samples = noise(length)
    mel = melspectrogram(samples, RATE, MELS)
    assert mel.dtype == np.float32
    np.testing.assert_allclose(mel, librosa_mel(samples), rtol=0, atol=0.01)


@pytest.mark.parametrize("change", [{"n_fft": 512}, {"hop": 200}, {"n_mels": 40}, {"fmin": 300.0}, {"fmax": 11025.0}])
def test_every_parameter_agrees_with_librosa(change):
    config = MELS.model_copy(update=change)
    samples = noise(8000) + 0.3 * np.sin(np.arange(8000, dtype=np.float32) / 4)
    mel = melspectrogram(samples, RATE, config)
    np.testing.assert_allclose(mel, librosa_mel(samples, config), rtol=0, atol=0.01)


@pytest.mark.parametrize("low, high", [(0, 8000), (300, 900), (1000, 11025), (1200.0, 8000.0)])
def test_the_scale_is_that_of_librosa(low, high):
    np.testing.assert_allclose(
        mel_scale.frequencies(20, low, high), librosa.mel_frequencies(20, fmin=low, fmax=high), rtol=1e-12, atol=1e-9
    )


def test_a_clip_shorter_than_a_window_still_gives_frames():
    mel = melspectrogram(noise(300), RATE, MELS)
    assert mel.shape == (80, 1)
    assert mel.max() == 0


def test_the_level_of_a_recording_makes_no_difference():
    samples = np.concatenate([noise(20000), 1e-4 * noise(20000)])
    loud, soft = (melspectrogram(gain * samples, RATE, MELS) for gain in (np.float32(4), np.float32(0.25)))
    np.testing.assert_allclose(loud, soft, rtol=0, atol=1e-3)
    assert loud.max() == 0
    assert -80 <= loud.min() < -70


def test_stored_mels_are_the_nearest_half_precision_numbers(tmp_path):
    mel = melspectrogram(noise(30000), RATE, MELS)
    mel_store.write(tmp_path / "mels", [({"clip": "a"}, mel)])
    stored = mel_store.read(tmp_path / "mels").frames.T
    error = np.abs(stored.astype(np.float32) - mel)
    for neighbour in (np.nextafter(stored, np.float16(-100)), np.nextafter(stored, np.float16(100))):
        assert (error <= np.abs(neighbour.astype(np.float32) - mel)).all()
    assert error.max() <= 2**-5  # dB: half a step below 64 dB


@pytest.mark.parametrize("change", [{"fmax": 11026.0}, {"fmin": 8000.0}, {"fmin": 9000.0}])
def test_frequencies_outside_the_sound_are_refused(change):
    with pytest.raises(InputError, match=r"^params.yaml: expected mels.fmin < mels.fmax <= 11025 Hz, half of audio"):
        melspectrogram(noise(3000), RATE, MELS.model_copy(update=change))
