from pathlib import Path

import numpy as np
import soundfile

from ser.audio.griffin_lim import mel_to_samples
from ser.core import params
from ser.data import mel_store
from ser.reporting import gallery
from stages.gallery import main
from tests.helpers.audio import MELS, RATE
from tests.helpers.constants import EMOTIONS


def synthesise(count, draw):
    """Write `count` clips of every emotion for two folds, each `draw(fold, take)`."""
    mel_store.write(
        "data/synthetic/diffusion",
        (
            (
                {"clip": f"{fold}/{emotion}-{take}", "repeat": 0, "fold": fold, "emotion": emotion},
                draw(fold, take),
            )
            for fold in (1, 0)
            for emotion in EMOTIONS
            for take in range(count)
        ),
    )


def test_the_gallery_is_a_picture_and_the_sound_of_its_synthetic_clips_in_its_order(toy, monkeypatch):
    config = MELS.model_copy(update={"n_mels": 8})
    values = {"mels": config, "audio.sample_rate": RATE, "emotions": EMOTIONS, "split.protocol": "speaker"}
    monkeypatch.setattr(params, "read", lambda key, kind: values[key])
    rng = np.random.default_rng(0)
    synthesise(4, lambda fold, take: rng.uniform(-80, 0, (8, 20)))
    main("diffusion")

    assert Path("plots/gallery/diffusion.png").stat().st_size > 10_000
    folder = Path("data/listen/diffusion")
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{emotion}-{number}.wav" for emotion in EMOTIONS for number in range(3)
    ]
    for emotion, mels in gallery.synthetic_mels(toy, "diffusion").items():
        for number, mel in enumerate(mels):
            samples, rate = soundfile.read(folder / f"{emotion}-{number}.wav")
            assert (rate, soundfile.info(folder / f"{emotion}-{number}.wav").subtype) == (RATE, "PCM_16")
            np.testing.assert_allclose(samples, mel_to_samples(mel, RATE, config), atol=2**-15)


def test_examples_are_spread_over_the_clips_of_the_first_fold(toy):
    synthesise(9, lambda fold, take: np.full((8, 2), -10 * fold - take))
    mels_of = gallery.synthetic_mels(toy, "diffusion")
    assert list(mels_of) == EMOTIONS
    assert [mel[0, 0] for mel in mels_of["neutral"]] == [0, -3, -6]
    assert {mel.shape for mel in mels_of["neutral"]} == {(8, 2)}
    training = [clip for clip in toy.folds[0].train if toy.emotion_of[clip] == "anger"]
    np.testing.assert_array_equal(gallery.real_mels(toy)["anger"][0], toy.mels.clip(training[0]))
