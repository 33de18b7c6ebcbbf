"""What every generator in the latent space of an autoencoder must do, on spectra that are loud below or above."""

import importlib

import pytest
import torch

from ser.core.errors import InputError
from ser.core.optim import LOG_POINTS
from ser.core.rng import make_rng
from ser.data.clips import Normaliser
from ser.generators import autoencoder
from tests.unit.test_diffusion import CLIPS, CONDITIONS, FRAMES, IDENTITY, N_MELS, lean

AUTOENCODER = autoencoder.Autoencoding(
    patch=2, channels=[8, 16], latents=4, updates=300, batch=8, learning_rate=0.005, ema=0.9, kl=0.01
)
COMMON = {"frames": FRAMES, "precision": "fp32", "autoencoder": AUTOENCODER}
DENOISER = {
    "patch": 1,
    "channels": [32],
    "updates": 300,
    "batch": 8,
    "learning_rate": 0.002,
    "ema": 0.9,
    "unconditional": 0.2,
}
FITS = {
    "latent_diffusion": DENOISER,
    "vae": {},
    "gan": {
        "channels": 16,
        "updates": 200,
        "batch": 8,
        "generator_rate": 0.001,
        "discriminator_rate": 0.002,
        "ema": 0.9,
    },
}
SAMPLES = {
    "latent_diffusion": {"sampler": "dpm_solver", "steps": 10, "guidance": 1.0, "spread": 1.0},
    "vae": {"spread": 0.6},
    "gan": {},
}
LOWER, UPPER = 0, 1  # the emotions


def fit(name, seed=0, normalise=IDENTITY, log=lambda _: None, **change):
    module = importlib.import_module(f"ser.generators.{name}")
    settings = module.Fit(**COMMON | FITS[name]).model_copy(update=change)
    return module.fit(CLIPS, normalise, CONDITIONS, settings, seed, log)


def sample(name, state, emotion, seed=0, **change):
    module = importlib.import_module(f"ser.generators.{name}")
    settings = module.Sample(count=12, **SAMPLES[name] | change)
    embeddings = torch.nn.functional.one_hot(torch.full((12,), emotion), 2).float()
    return module.sample(
        {key: tensor.clone() for key, tensor in state.items()},
        N_MELS,
        emotion,
        embeddings,
        module.Fit(**COMMON | FITS[name]),
        settings,
        make_rng(seed),
        torch.device("cpu"),
    )


@pytest.fixture(scope="module", params=FITS)
def trained(request):
    """A generator's name, its state after enough training, and its losses."""
    losses = []
    return request.param, fit(request.param, log=losses.append), losses


def test_the_loss_is_logged(trained):
    _, _, losses = trained
    assert len(losses) == LOG_POINTS
    assert all(torch.isfinite(torch.tensor(point["loss"])) for point in losses)


def test_samples_have_the_shape_asked_for_and_are_finite(trained):
    name, state, _ = trained
    mels = sample(name, state, LOWER)
    assert mels.shape == (12, 1, N_MELS, FRAMES)
    assert mels.dtype == torch.float32
    assert torch.isfinite(mels).all()
    assert mels.abs().max() < 8


def test_samples_follow_their_emotion_and_differ(trained):
    name, state, _ = trained
    assert lean(sample(name, state, LOWER)) < -1
    assert lean(sample(name, state, UPPER)) > 1
    assert len({mel.numpy().tobytes() for mel in sample(name, state, LOWER)}) == 12


def test_samples_have_the_texture_of_the_data(trained):
    name, state, _ = trained
    mels = sample(name, state, LOWER)
    roughness = mels.diff(dim=3).std()
    assert 0.5 < float(roughness) / (0.3 * 2**0.5) < 2  # the data: white noise of deviation 0.3


def test_the_seed_determines_the_samples(trained):
    name, state, _ = trained
    assert torch.equal(sample(name, state, UPPER), sample(name, state, UPPER))
    assert not torch.equal(sample(name, state, UPPER), sample(name, state, UPPER, seed=1))


@pytest.mark.parametrize("name", FITS)
def test_the_seed_determines_the_fit(name):
    short = {"autoencoder": AUTOENCODER.model_copy(update={"updates": 50})}
    short |= {"updates": 50} if "updates" in FITS[name] else {}
    first, again, other = fit(name, **short), fit(name, **short), fit(name, seed=1, **short)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", FITS)
def test_mels_that_do_not_divide_are_refused(name):
    normalise = Normaliser(torch.zeros(10), torch.ones(10))
    with pytest.raises(InputError, match="^params.yaml: key `mels.n_mels` is 10; the .* a multiple of 4"):
        fit(name, normalise=normalise)


def test_a_vae_gives_back_what_it_learnt_from_and_draws_new_ones(monkeypatch):
    state = fit("vae", autoencoder=AUTOENCODER.model_copy(update={"updates": 50}))
    monkeypatch.setattr(autoencoder, "draw", lambda model, latents, *_: latents)
    own = state["latents"][state["emotion"] == LOWER].float()

    def kept(spread):
        """The weight of the nearest training clip in the samples' distances from the mean."""
        latents = sample("vae", state, LOWER, spread=spread) - own.mean(0)
        clips = own - own.mean(0)
        return (latents.flatten(1) @ clips.flatten(1).T / clips.flatten(1).square().sum(1)).max(1).values.mean()

    assert float(kept(0.0)) == pytest.approx(1, abs=0.01)
    assert kept(0.0) > kept(0.6) > kept(1.0)


def test_the_prior_has_the_mean_and_the_covariance_of_an_emotion():
    draws = make_rng(0)
    latents = torch.randn(300, 3, generator=draws) @ torch.tensor([[2.0, 1, 0], [0, 1, 0], [0, 0, 0.5]]) + 3
    emotion = torch.arange(300) % 3
    wanted = torch.tensor([2]).expand(20_000)
    drawn = autoencoder.prior(latents, emotion, wanted, draws)
    own = latents[emotion == 2]
    torch.testing.assert_close(drawn.mean(0), own.mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), own.T.cov(correction=0), atol=0.2, rtol=0)


def test_an_autoencoder_gives_back_what_it_is_given():
    model = autoencoder.train(CLIPS, IDENTITY, FRAMES, AUTOENCODER, "fp32", 0, "toy", lambda _: None)
    mels = IDENTITY(CLIPS.crops(torch.arange(len(CLIPS)), FRAMES, 0.5))
    latents = autoencoder.encode(model, mels, CLIPS.emotion, "fp32")
    assert latents.shape == (len(CLIPS), 4, N_MELS // 4, FRAMES // 4)
    with torch.no_grad():
        decoded, log_deviation = model.decode(latents, CLIPS.emotion)
    error = (decoded - mels).std()
    assert error < 0.5 * mels.std()
    assert float(log_deviation.exp().mean()) == pytest.approx(float(error), rel=0.5)  # it knows its error
