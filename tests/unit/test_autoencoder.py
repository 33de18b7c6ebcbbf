"""The autoencoder over time that generators share: what it learns of toy clips, its tokens and its state."""

import pytest
import torch

from ser.core.errors import InputError
from ser.core.optim import LOG_POINTS, ignore
from ser.core.params import check
from ser.generators import autoencoder
from ser.generators.autoencoder import Autoencoder, AutoencoderConfig
from tests.helpers.toy_generators import AUTOENCODER, CLIPS, N_MELS, NORMALISER, fitted_autoencoder

FRAMES = 16


def fit(seed=0, log=ignore, **change):
    return autoencoder.fit(CLIPS, AUTOENCODER.model_copy(update=change), seed, log)


@pytest.fixture(scope="module")
def trained():
    """An autoencoder with as many latents as mel cells, after enough training, and what was logged."""
    history = []
    return fit(log=history.append, latents=4 * N_MELS, channels=[16, 32, 48], updates=250), history


def mels_of(clips=CLIPS, frames=FRAMES):
    return NORMALISER(clips.left_aligned(torch.arange(len(clips)), frames))


def test_it_gives_back_what_it_is_given(trained):
    model, _ = trained
    mels = model.normaliser(CLIPS.crops(torch.arange(len(CLIPS)), 8, 0.5))[:, 0]
    tokens = model.encode(mels, "fp32")
    assert tokens.shape == (len(CLIPS), 2, 4 * N_MELS)
    decoded = model.decode(tokens, "fp32")
    assert decoded.shape == mels.shape and decoded.dtype == torch.float32
    assert float((decoded - mels).square().mean()) < 0.15  # of 1, the variance of every band


def test_the_loss_goes_down(trained):
    _, history = trained
    assert len(history) == LOG_POINTS
    assert history[0].keys() == {"loss", "error", "divergence"}
    for name in ("loss", "error"):
        first, last = (sum(point[name] for point in points) for points in (history[:5], history[-5:]))
        assert last < 0.4 * first


@pytest.mark.parametrize("frames", [4, 8, 100])
def test_four_frames_are_a_token(frames):
    model = fitted_autoencoder()
    tokens = model.encode(torch.randn(3, N_MELS, frames), "fp32")
    assert tokens.shape == (3, frames // 4, AUTOENCODER.latents)
    assert model.decode(tokens, "fp32").shape == (3, N_MELS, frames)


def test_it_works_on_mels_normalised_by_the_statistics_of_the_clips():
    model = fitted_autoencoder()
    torch.testing.assert_close(model.normaliser.mean, CLIPS.normaliser().mean)
    torch.testing.assert_close(model.normaliser.std, CLIPS.normaliser().std)


def test_tokens_are_the_means_of_their_distribution():
    model, mels = fitted_autoencoder(), mels_of()
    with torch.no_grad():
        mean, log_variance = model.distribution(mels)
    assert torch.equal(model.encode(mels, "fp32"), mean.transpose(1, 2))
    assert log_variance.shape == mean.shape and log_variance.min() >= -12 and log_variance.max() <= 4


def test_a_state_makes_the_same_autoencoder():
    model = fit(latents=5, channels=[8, 16, 24])
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    restored = Autoencoder.restore(state)
    assert not restored.training and restored.latents == 5
    assert restored.state_dict().keys() == state.keys()
    tokens = model.encode(mels_of(), "fp32")
    assert torch.equal(restored.encode(mels_of(), "fp32"), tokens)
    assert torch.equal(restored.decode(tokens, "fp32"), model.decode(tokens, "fp32"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_seed_determines_the_weights(precision):
    first, again, other = (fit(seed, precision=precision, updates=LOG_POINTS).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_in_bf16_tokens_and_mels_stay_single():
    model = fitted_autoencoder()
    tokens = model.encode(mels_of(), "bf16")
    assert tokens.dtype == model.decode(tokens, "bf16").dtype == torch.float32
    torch.testing.assert_close(tokens, model.encode(mels_of(), "fp32"), atol=0.1, rtol=0.1)


def test_a_heavier_divergence_draws_latents_to_the_prior():
    light, heavy = ([], [])
    for log, kl in ((light, 0.0), (heavy, 1.0)):
        fit(kl=kl, updates=2 * LOG_POINTS, log=log.append)
    assert heavy[-1]["divergence"] < 0.5 * light[-1]["divergence"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("frames", 30, "key `autoencoder.frames`: Input should be a multiple of 4, found 30"),
        ("channels", [16, 16], "key `autoencoder.channels`: List should have at least 3 items"),
        ("channels", [16, 12, 16], "key `autoencoder.channels.1`: Input should be a multiple of 8, found 12"),
        ("updates", 3, f"key `autoencoder.updates`: Input should be greater than or equal to {LOG_POINTS}"),
    ],
)
def test_settings_that_cannot_be_are_refused(key, value, message):
    with pytest.raises(InputError, match=f"^params.yaml: {message}"):
        check(AUTOENCODER.model_dump() | {key: value}, AutoencoderConfig, "autoencoder")
