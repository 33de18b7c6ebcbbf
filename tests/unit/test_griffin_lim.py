import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from ser.audio.griffin_lim import mel_to_samples
from ser.corpora import demo
from tests.helpers.audio import MELS, RATE, there_and_back


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Three clips of the demo corpus."""
    folder = tmp_path_factory.mktemp("demo")
    demo.fetch(folder, names=demo.clips()[::100])
    return sorted(folder.glob("*.wav"))


@pytest.mark.parametrize("change", [{}, {"hop": 256}, {"n_fft": 2048, "n_mels": 128}, {"fmin": 100.0, "fmax": 6000.0}])
def test_the_mel_of_the_sound_of_a_demo_clip_is_within_one_decibel(spoken, change):
    for path in spoken:
        before, samples, after = there_and_back(path, MELS.model_copy(update=change))
        assert before.shape == after.shape
        assert np.abs(after - before).mean() < 1
        assert samples.dtype == np.float32
        assert np.abs(samples).max() == pytest.approx(10 ** (-3 / 20))


def test_the_same_mel_gives_the_same_bytes_on_any_number_of_cores():
    mel = np.random.default_rng(0).uniform(-80, 0, (80, 60))
    before = np.random.get_state()[1].copy()
    sounds = []
    for cores in (1, 2):
        with threadpool_limits(cores):
            sounds.append(mel_to_samples(mel, RATE, MELS).tobytes())
    assert sounds[0] == sounds[1]
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize("level", [-80, 0])
def test_a_mel_at_the_floor_is_silence_and_one_at_the_peak_is_not(level):
    samples = mel_to_samples(np.full((80, 20), level, np.float16), RATE, MELS)
    assert samples.shape == (19 * MELS.hop,)
    assert np.isfinite(samples).all()
    assert samples.any() == (level == 0)


def test_nothing_sounds_outside_the_mels():
    config = MELS.model_copy(update={"fmin": 1000.0, "fmax": 4000.0})
    power = np.abs(np.fft.rfft(mel_to_samples(np.zeros((80, 60)), RATE, config))) ** 2
    hertz = np.linspace(0, RATE / 2, len(power))
    assert power[(hertz > 900) & (hertz < 4100)].sum() > 0.99 * power.sum()
