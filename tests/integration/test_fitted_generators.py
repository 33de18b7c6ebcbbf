"""What generators other than the U-Net learn from spectra that are loud below or above."""

import pytest
import torch

from ser.core.optim import LOG_POINTS
from ser.core.rng import make_rng
from ser.generators.base import EnhancementConfig
from tests.helpers.toy_generators import (
    LOWER,
    N_MELS,
    UPPER,
    bytes_of,
    embeddings_of,
    fit,
    fitted_autoencoder,
    loudness_difference,
    part,
    sample,
    toy_mels,
)

LONG_FITS = {
    "diffusion": {"updates": 300},
    "latent_diffusion": {"updates": 600},
    "vae": {},
    "gan": {"updates": 200},
}
DIFFUSION = ["diffusion", "latent_diffusion"]


@pytest.fixture(scope="module")
def fitted():
    """Generators after enough training, by name, and what they logged."""
    made = {}

    def get(name):
        if name not in made:
            history = []
            long_part = part(autoencoder=fitted_autoencoder(300, 32))
            made[name] = fit(name, long_part, log=history.append, **LONG_FITS[name]), history
        return made[name]

    return get


@pytest.mark.parametrize("name", DIFFUSION)
def test_the_loss_goes_down(fitted, name):
    _, history = fitted(name)
    losses = [point["loss"] for point in history]
    assert len(losses) == LOG_POINTS
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


@pytest.mark.parametrize("name", LONG_FITS)
def test_samples_are_finite_and_in_the_range_of_the_data(fitted, name):
    mels = torch.cat(sample(fitted(name)[0], LOWER), dim=1)
    assert mels.shape[0] == N_MELS and torch.isfinite(mels).all()
    assert mels.abs().max() < 8


@pytest.mark.parametrize("name", LONG_FITS)
def test_samples_follow_their_emotion_and_differ(fitted, name):
    generator, _ = fitted(name)
    assert loudness_difference(sample(generator, LOWER)) < -1
    assert loudness_difference(sample(generator, UPPER)) > 1
    assert len(set(bytes_of(sample(generator, LOWER)))) == 12


def test_samples_of_the_gan_have_the_texture_of_the_data(fitted):
    roughness = torch.cat([mel.diff(dim=1) for mel in sample(fitted("gan")[0], LOWER)], dim=1).std()
    assert 0.5 < float(roughness) / (0.3 * 2**0.5) < 2  # the data: white noise of deviation 0.3


@pytest.mark.parametrize("name", DIFFUSION)
def test_more_guidance_follows_the_emotion_more(fitted, name):
    generator, _ = fitted(name)
    differences = [loudness_difference(sample(generator, UPPER, guidance=guidance)) for guidance in (0.0, 0.5, 1.0)]
    assert differences == sorted(differences)
    assert differences[0] < 0.9 < differences[-1]


@pytest.mark.parametrize("name", DIFFUSION)
def test_enhancement_gives_a_clip_an_emotion_if_it_is_strong_enough(fitted, name):
    generator, _ = fitted(name)
    mels = toy_mels(LOWER)

    def difference(label, strength):
        labels = torch.full((len(mels),), label)
        config = EnhancementConfig(strength=strength, steps=6, guidance=1.0)
        return loudness_difference(generator.enhance(mels, labels, embeddings_of(labels), config, make_rng(0)))

    assert difference(UPPER, 1.0) > 1 and difference(LOWER, 1.0) < -1
    assert difference(UPPER, 0.1) < -1
