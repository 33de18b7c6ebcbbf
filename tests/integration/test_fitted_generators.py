"""What the generators in the latent space of an autoencoder learn from spectra that are loud below or above."""

import pytest
import torch

from ser.core.optim import LOG_POINTS, ignore
from ser.generators import autoencoder
from tests.helpers.toy_generators import (
    AUTOENCODER,
    CLIPS,
    FRAMES,
    IDENTITY,
    LOWER,
    N_MELS,
    UPPER,
    fit,
    loudness_difference,
    sample,
)

LONG_AUTOENCODER = AUTOENCODER.model_copy(update={"updates": 300})
LONG_FITS = {
    "latent_diffusion": {"updates": 300, "autoencoder": LONG_AUTOENCODER},
    "vae": {"autoencoder": LONG_AUTOENCODER},
    "gan": {"updates": 200, "autoencoder": LONG_AUTOENCODER},
}


@pytest.fixture(scope="module", params=LONG_FITS)
def trained(request):
    """A generator after enough training, and what it logged."""
    history = []
    return fit(request.param, log=history.append, **LONG_FITS[request.param]), history


def test_the_loss_is_logged(trained):
    _, history = trained
    assert len(history) == LOG_POINTS
    assert all(torch.isfinite(torch.tensor(point["loss"])) for point in history)


def test_samples_have_the_shape_asked_for_and_are_finite(trained):
    mels = sample(trained[0], LOWER)
    assert mels.shape == (12, 1, N_MELS, FRAMES)
    assert mels.dtype == torch.float32
    assert torch.isfinite(mels).all()
    assert mels.abs().max() < 8


def test_samples_follow_their_emotion_and_differ(trained):
    generator, _ = trained
    assert loudness_difference(sample(generator, LOWER)) < -1
    assert loudness_difference(sample(generator, UPPER)) > 1
    assert len({mel.numpy().tobytes() for mel in sample(generator, LOWER)}) == 12


def test_samples_have_the_texture_of_the_data(trained):
    mels = sample(trained[0], LOWER)
    roughness = mels.diff(dim=3).std()
    assert 0.5 < float(roughness) / (0.3 * 2**0.5) < 2  # the data: white noise of deviation 0.3


def test_an_autoencoder_gives_back_what_it_is_given():
    model = autoencoder.train(CLIPS, IDENTITY, FRAMES, LONG_AUTOENCODER, "fp32", 0, "toy", ignore)
    mels = IDENTITY(CLIPS.crops(torch.arange(len(CLIPS)), FRAMES, 0.5))
    latents = autoencoder.encode(model, mels, CLIPS.labels, "fp32")
    assert latents.shape == (len(CLIPS), 4, N_MELS // 4, FRAMES // 4)
    with torch.no_grad():
        decoded, log_deviation = model.decode(latents, CLIPS.labels)
    error = (decoded - mels).std()
    assert error < 0.5 * mels.std()
    assert float(log_deviation.exp().mean()) == pytest.approx(float(error), rel=0.5)  # it predicts its error
