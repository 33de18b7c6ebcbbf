"""What every generator must do, and the parts that several share."""

import pytest
import torch

from ser.core.errors import InputError
from ser.core.optim import LOG_POINTS
from ser.core.params import Config
from ser.core.rng import make_rng
from ser.data.clips import Normaliser
from ser.generators import autoencoder, base
from tests.helpers.toy_generators import FITS, FRAMES, LOWER, N_MELS, UPPER, fit, sample


@pytest.fixture(scope="module", params=base.known())
def fitted(request):
    """A generator after a fit of a few updates, and what it logged."""
    history = []
    return fit(request.param, log=history.append), history


def test_the_study_has_four_generators():
    assert base.known() == ["diffusion", "gan", "latent_diffusion", "vae"]
    assert FITS.keys() == set(base.known())


@pytest.mark.parametrize("name", base.known())
def test_every_generator_keeps_the_contract(name):
    generator_class = base.get(name)
    assert issubclass(generator_class, base.Generator)
    assert generator_class.__module__ == base.module(name)
    assert issubclass(generator_class.FitConfig, Config)
    assert issubclass(generator_class.SampleConfig, Config)
    assert "count" in generator_class.SampleConfig.model_fields
    assert not generator_class.__abstractmethods__


@pytest.mark.parametrize(
    "name, hint",
    [
        ("difusion", "did you mean `diffusion`?"),
        ("denoiser", "known are diffusion, gan, latent_diffusion, vae"),  # a module that is no generator
        ("flow", "known are diffusion, gan, latent_diffusion, vae"),
    ],
)
def test_an_unknown_generator_is_refused_with_what_is_known(name, hint):
    with pytest.raises(InputError) as refused:
        base.get(name)
    assert f"key `study.generators`: there is no ser/generators/{name}.py, {hint}" in str(refused.value)


def test_losses_are_logged(fitted):
    _, history = fitted
    assert len(history) == LOG_POINTS
    assert all(torch.isfinite(torch.tensor(point["loss"])) for point in history)


def test_samples_have_the_shape_asked_for_and_are_finite(fitted):
    mels = sample(fitted[0], LOWER)
    assert mels.shape == (12, 1, N_MELS, FRAMES)
    assert mels.dtype == torch.float32
    assert torch.isfinite(mels).all()
    assert len({mel.numpy().tobytes() for mel in mels}) == 12


def test_the_seed_determines_the_samples(fitted):
    generator, _ = fitted
    assert torch.equal(sample(generator, UPPER), sample(generator, UPPER))
    assert not torch.equal(sample(generator, UPPER), sample(generator, UPPER, seed=1))


def test_a_restored_generator_samples_the_same_bytes(fitted):
    generator, _ = fitted
    state = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    restored = type(generator).restore(state, generator.config)
    assert restored is not generator
    restored_state = restored.state_dict()
    assert restored_state.keys() == state.keys()
    assert all(torch.equal(restored_state[name], state[name]) for name in state)
    for label in (LOWER, UPPER):
        assert sample(restored, label).numpy().tobytes() == sample(generator, label).numpy().tobytes()


def test_the_seed_determines_the_fit(fitted):
    generator, _ = fitted
    name = type(generator).__module__.rpartition(".")[2]
    first, again, other = generator.state_dict(), fit(name).state_dict(), fit(name, seed=1).state_dict()
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", base.known())
def test_mels_that_do_not_divide_are_refused(name):
    with pytest.raises(InputError, match="^params.yaml: key `mels.n_mels` is 10; the .* a multiple of 4"):
        fit(name, normaliser=Normaliser.blank(10))


def test_a_vae_gives_back_training_clips_and_draws_new_ones(monkeypatch):
    generator = fit("vae")
    monkeypatch.setattr(autoencoder, "decode_sample", lambda model, latents, *_: latents)
    own = generator.latents[generator.labels == LOWER].float()

    def kept(spread):
        """The weight of the nearest training clip in the samples' distances from the mean."""
        latents = sample(generator, LOWER, spread=spread) - own.mean(0)
        clips = own - own.mean(0)
        return (latents.flatten(1) @ clips.flatten(1).T / clips.flatten(1).square().sum(1)).max(1).values.mean()

    assert float(kept(0.0)) == pytest.approx(1, abs=0.01)
    assert kept(0.0) > kept(0.6) > kept(1.0)


def test_the_prior_has_the_mean_and_the_covariance_of_an_emotion():
    rng = make_rng(0)
    latents = torch.randn(300, 3, generator=rng) @ torch.tensor([[2.0, 1, 0], [0, 1, 0], [0, 0, 0.5]]) + 3
    labels = torch.arange(300) % 3
    wanted = torch.tensor([2]).expand(20_000)
    drawn = autoencoder.sample_prior(latents, labels, wanted, rng)
    own = latents[labels == 2]
    torch.testing.assert_close(drawn.mean(0), own.mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), own.T.cov(correction=0), atol=0.2, rtol=0)
