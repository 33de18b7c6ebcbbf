from pathlib import Path

import numpy as np
import pytest
import soundfile
from threadpoolctl import threadpool_limits

from ser.audio.griffin_lim import mel_to_samples
from ser.audio.io import load_audio
from ser.audio.mel import melspectrogram
from ser.core import params
from ser.corpora import demo
from ser.data import mel_store
from ser.reporting import gallery
from stages import listen
from tests.unit.test_mel import CLIPS, RATE, SETTINGS, SOUND


def there_and_back(path, settings=SETTINGS):
    """A clip's mel as packed, its sound, and the mel of that."""
    mel = melspectrogram(load_audio(path, SOUND), RATE, settings).astype(np.float16)
    samples = mel_to_samples(mel, RATE, settings)
    return mel.astype(np.float32), samples, melspectrogram(samples, RATE, settings)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Three clips of the demo corpus."""
    folder = tmp_path_factory.mktemp("demo")
    demo.fetch(folder, names=demo.clips()[::100])
    return sorted(folder.glob("*.wav"))


@pytest.mark.parametrize("clip", CLIPS)
def test_the_mel_of_the_sound_of_a_real_clip_is_within_one_decibel(mirror, clip):
    before, _, after = there_and_back(mirror / clip)
    assert before.shape == after.shape
    assert np.abs(after - before).mean() < 1


@pytest.mark.parametrize("change", [{}, {"hop": 256}, {"n_fft": 2048, "n_mels": 128}, {"fmin": 100.0, "fmax": 6000.0}])
def test_the_mel_of_the_sound_of_a_demo_clip_is_within_one_decibel(spoken, change):
    for path in spoken:
        before, samples, after = there_and_back(path, SETTINGS.model_copy(update=change))
        assert before.shape == after.shape
        assert np.abs(after - before).mean() < 1
        assert samples.dtype == np.float32
        assert np.abs(samples).max() == pytest.approx(10 ** (-3 / 20))


def test_the_same_mel_gives_the_same_bytes_on_any_number_of_cores():
    mel = np.random.default_rng(0).uniform(-80, 0, (60, 80))
    before = np.random.get_state()[1].copy()
    sounds = []
    for cores in (1, 2):
        with threadpool_limits(cores):
            sounds.append(mel_to_samples(mel, RATE, SETTINGS).tobytes())
    assert sounds[0] == sounds[1]
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize("level", [-80, 0])
def test_a_mel_of_nothing_is_silence_and_a_full_one_is_not(level):
    samples = mel_to_samples(np.full((20, 80), level, np.float16), RATE, SETTINGS)
    assert samples.shape == (19 * SETTINGS.hop,)
    assert np.isfinite(samples).all()
    assert samples.any() == (level == 0)


def test_nothing_sounds_outside_the_mels():
    settings = SETTINGS.model_copy(update={"fmin": 1000.0, "fmax": 4000.0})
    power = np.abs(np.fft.rfft(mel_to_samples(np.zeros((60, 80)), RATE, settings))) ** 2
    hertz = np.linspace(0, RATE / 2, len(power))
    assert power[(hertz > 900) & (hertz < 4100)].sum() > 0.99 * power.sum()


def test_the_clips_of_the_gallery_are_written_in_its_order_and_no_real_one(toy, monkeypatch):
    settings = SETTINGS.model_copy(update={"n_mels": 8})
    values = {"mels": settings, "audio.sample_rate": RATE, "emotions": toy.emotions, "split.protocol": "speaker"}
    monkeypatch.setattr(params, "read", lambda key, kind: values[key])
    rng = np.random.default_rng(0)
    mel_store.write(
        "data/synthetic/diffusion",
        (
            (
                {"clip": f"{fold}/{emotion}-{take}", "repeat": 0, "fold": fold, "emotion": emotion},
                rng.uniform(-80, 0, (20, 8)),
            )
            for fold in (1, 0)
            for emotion in toy.emotions
            for take in range(4)
        ),
    )
    monkeypatch.setattr(gallery, "real", None)
    listen.main("diffusion")

    folder = Path("data/listen/diffusion")
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{emotion}-{number}.wav" for emotion in toy.emotions for number in range(3)
    ]
    for emotion, shown in gallery.synthetic(toy, "diffusion").items():
        for number, mel in enumerate(shown):
            samples, rate = soundfile.read(folder / f"{emotion}-{number}.wav")
            assert (rate, soundfile.info(folder / f"{emotion}-{number}.wav").subtype) == (RATE, "PCM_16")
            np.testing.assert_allclose(samples, mel_to_samples(mel.T, RATE, settings), atol=2**-15)


def test_examples_are_spread_over_the_clips_of_the_first_fold(toy):
    mel_store.write(
        "data/synthetic/diffusion",
        (
            (
                {"clip": f"{fold}/{emotion}-{take}", "repeat": 0, "fold": fold, "emotion": emotion},
                np.full((2, 8), -10 * fold - take),
            )
            for fold in (1, 0)
            for emotion in toy.emotions
            for take in range(9)
        ),
    )
    shown = gallery.synthetic(toy, "diffusion")
    assert list(shown) == toy.emotions
    assert [mel[0, 0] for mel in shown["neutral"]] == [0, -3, -6]
    training = [clip for clip in toy.folds[0].train if toy.emotion[clip] == "anger"]
    np.testing.assert_array_equal(gallery.real(toy)["anger"][0], toy.pack.clip(training[0]))
