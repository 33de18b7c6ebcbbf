"""The autoencoder over time that generators share: what it learns of toy clips, its tokens and its state."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from ser.core.errors import InputError
from ser.core.optim import LOG_POINTS, ignore
from ser.core.params import check
from ser.data.clips import clips_from_mels
from ser.generators import autoencoder
from ser.generators.autoencoder import Autoencoder, AutoencoderConfig
from ser.generators.sequences import patches
from tests.helpers.toy_generators import AUTOENCODER, CLIPS, N_MELS, NORMALISER, fitted_autoencoder

FRAMES = 16


def fit(seed=0, log=ignore, **change):
    return autoencoder.fit(CLIPS, AUTOENCODER.model_copy(update=change), seed, log)


def mels_of(clips=CLIPS, frames=FRAMES):
    return NORMALISER(clips.left_aligned(torch.arange(len(clips)), frames))


def error(model, mels):
    return float((model.decode(model.encode(mels, "fp32"), "fp32") - mels).square().mean())


def begun(mels, latents):
    """An autoencoder before training."""
    model = Autoencoder(16, latents, NORMALISER)
    model.begin(patches(mels).flatten(0, 1))
    return model.eval()


@pytest.mark.parametrize("latents", [1, 6, 20])
def test_it_begins_as_principal_components(latents):
    mels = mels_of()
    model = begun(mels, latents)
    cells = patches(mels).flatten(0, 1).numpy()
    principal = PCA(latents).fit(cells)
    expected = np.square(principal.inverse_transform(principal.transform(cells)) - cells).mean()
    assert error(model, mels) == pytest.approx(expected, rel=1e-3)
    tokens = model.encode(mels, "fp32").flatten(0, 1)
    assert float(tokens.var(0).mean()) == pytest.approx(1, rel=1e-2)
    torch.testing.assert_close(tokens.mean(0), torch.zeros(latents), atol=1e-4, rtol=0)


def test_with_as_many_latents_as_cells_it_gives_back_what_it_is_given():
    mels = mels_of()
    assert error(begun(mels, 4 * N_MELS), mels) < 1e-8


def test_training_adds_what_no_linear_code_can_say():
    """Every clip is one number in its lower bands and its square in the upper ones; a token is a single number."""
    number = torch.randn(60, 1, 1, generator=torch.Generator().manual_seed(0))
    lower, upper = (value.expand(60, N_MELS // 2, 20) for value in (number, (number**2 - 1) / 2**0.5))
    mels = 5 * torch.cat([lower, upper], dim=1) - 30
    clips, history = clips_from_mels(list(mels), torch.zeros(60, dtype=torch.long)), []
    config = AUTOENCODER.model_copy(update={"latents": 1, "channels": 32, "updates": 300, "stretch": 0.0})
    model = autoencoder.fit(clips, config, 0, history.append)
    assert len(history) == LOG_POINTS
    assert history[0].keys() == {"loss", "error", "divergence"}
    normalised = model.normaliser(clips.left_aligned(torch.arange(60), FRAMES))
    assert error(model, normalised) < 0.5 * error(begun(normalised, 1), normalised)


def test_tokens_do_not_depend_on_how_far_a_batch_is_padded():
    model, mels = fitted_autoencoder(), mels_of(frames=60)  # longer than all clips
    longer = mels_of(frames=200)
    torch.testing.assert_close(model.encode(longer, "fp32")[:, :10], model.encode(mels, "fp32")[:, :10])


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
    assert torch.equal(model.encode(mels, "fp32"), mean)
    assert log_variance.shape == mean.shape and log_variance.min() >= -12 and log_variance.max() <= 4


def test_a_state_makes_the_same_autoencoder():
    model = fit(latents=5, channels=24)
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
        ("channels", 0, "key `autoencoder.channels`: Input should be greater than 0, found 0"),
        ("updates", 3, f"key `autoencoder.updates`: Input should be greater than or equal to {LOG_POINTS}"),
    ],
)
def test_settings_that_cannot_be_are_refused(key, value, message):
    with pytest.raises(InputError, match=f"^params.yaml: {message}"):
        check(AUTOENCODER.model_dump() | {key: value}, AutoencoderConfig, "autoencoder")
