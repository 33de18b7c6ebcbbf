"""Denoising diffusion: its samplers, conditions and network, and fits of a few updates."""

from dataclasses import replace

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from ser.core.errors import InputError
from ser.core.rng import make_rng
from ser.data.clips import Normaliser
from ser.generators import denoiser
from tests.helpers import toy_generators
from tests.helpers.toy_generators import CLIPS, FRAMES, N_CLASSES, N_MELS, embeddings_of, sample

WIDTH = N_CLASSES  # of the embeddings
FIT = toy_generators.fit_config("diffusion")
ENHANCEMENT = denoiser.EnhancementConfig(strength=0.5, sampler="dpm_solver", steps=20, guidance=1.0)
ONE_EMOTION = replace(CLIPS, labels=torch.zeros_like(CLIPS.labels))
THE_ONE = torch.zeros(12, dtype=torch.long)
LOWER, UPPER = (embeddings_of(torch.full((12,), label)) for label in (0, 1))


def fit(**change):
    return toy_generators.fit("diffusion", ONE_EMOTION, **change)


@pytest.fixture(scope="module")
def fitted():
    return fit()


def enhanced(generator, embeddings, labels=THE_ONE, **change):
    """Mels of the lower kind, noised and denoised."""
    mels = CLIPS.crops(torch.arange(0, 24, 2), FRAMES, 0.5)
    return generator.enhance(mels, labels, embeddings, ENHANCEMENT.model_copy(update=change), make_rng(0), batch=5)


def test_enhancement_without_an_emotion_ignores_conditions(fitted):
    assert torch.equal(enhanced(fitted, None, labels=None), enhanced(fitted, UPPER, guidance=0.0))


def test_enhancement_is_determined_by_the_rng(fitted):
    assert torch.equal(enhanced(fitted, UPPER), enhanced(fitted, UPPER))


def test_enhancement_in_too_few_steps_is_refused(fitted):
    with pytest.raises(InputError, match="key `enhancement.steps` is 1: none of these steps is within `enhancement"):
        enhanced(fitted, LOWER, strength=0.1, steps=1)


def test_samples_of_one_condition_differ(fitted):
    mels = sample(fitted, embeddings=LOWER)
    assert len({mel.numpy().tobytes() for mel in mels}) == 12


@pytest.mark.parametrize("spread", [0.2, 1, 10])
@pytest.mark.parametrize("sampler, steps", [("dpm_solver", 15), ("ddim", 100), ("ddpm", 500)])
def test_with_an_exact_denoiser_the_samples_have_the_spread_of_the_data(sampler, steps, spread):
    rng = make_rng(0)
    mels = torch.randn(20000, 1, 1, 1, generator=rng)
    solver = denoiser.make_solver(sampler, steps)
    for time in solver.timesteps:
        signal = denoiser.noise_schedule().alphas_cumprod[time]
        clean = signal**0.5 * spread**2 / (signal * spread**2 + 1 - signal) * mels
        noise = (mels - signal**0.5 * clean) / (1 - signal) ** 0.5
        mels = solver.step(signal**0.5 * noise - (1 - signal) ** 0.5 * clean, time, mels, generator=rng).prev_sample
    assert float(mels.std()) == pytest.approx(spread, rel=0.12)


def test_the_same_seed_gives_the_same_bytes_in_bf16():
    generators = [fit(seed=seed, precision="bf16") for seed in (0, 0, 1)]
    first, again, other = (generator.state_dict() for generator in generators)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    assert torch.isfinite(sample(generators[0], embeddings=LOWER)).all()


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_moving_average_of_the_weights_is_kept(monkeypatch, ema):
    models, steps, build = [], [], denoiser.build
    monkeypatch.setattr(denoiser, "build", lambda *arguments: models.append(build(*arguments)) or models[-1])

    def remember(*_):
        steps.append({name: weight.detach().clone() for name, weight in models[0].named_parameters()})

    hook = register_optimizer_step_post_hook(remember)
    try:
        state = fit(ema=ema).denoiser.state_dict()
    finally:
        hook.remove()
    assert len(steps) == FIT.updates
    expected = steps[0]
    for weights in steps[1:]:
        expected = {name: ema * expected[name] + (1 - ema) * weight for name, weight in weights.items()}
    for name, weight in expected.items():
        torch.testing.assert_close(state[name], weight, atol=1e-5, rtol=1e-4)
    assert any(not torch.equal(state[name], weight) for name, weight in steps[-1].items()) == (ema > 0)


def test_the_network_gives_a_cell_for_a_cell():
    model = denoiser.build(FIT, WIDTH)
    mels = torch.randn(3, 1, N_MELS, 16)
    flags = torch.tensor([True, False, True])
    v = model(mels, torch.tensor([0, 500, 999]), torch.randn(3, WIDTH), flags)
    assert v.shape == mels.shape


def test_unconditional_clips_ignore_their_condition_and_the_others_do_not():
    model = denoiser.build(FIT, WIDTH).eval()
    mels, time = torch.randn(2, 1, N_MELS, FRAMES), torch.tensor([500, 500])
    flags = torch.tensor([True, False])
    with torch.inference_mode():
        first, second = (model(mels, time, condition, flags) for condition in (LOWER[:2], UPPER[:2]))
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.parametrize(
    ("change", "n_mels", "message"),
    [
        ({"frames": 10}, 8, "key `generators.diffusion.fit.frames` is 10; the U-Net needs a multiple of 4"),
        ({"channels": [8, 32, 32]}, 12, "key `mels.n_mels` is 12; the U-Net needs a multiple of 8"),
    ],
)
def test_mels_that_do_not_divide_into_cells_are_refused(change, n_mels, message):
    with pytest.raises(InputError, match=f"^params.yaml: {message}"):
        toy_generators.fit("diffusion", normaliser=Normaliser.blank(n_mels), **change)


def test_the_schedule_ends_in_pure_noise():
    signal = denoiser.noise_schedule().alphas_cumprod
    assert signal[0] > 0.999
    assert signal[-1] < 1e-6
    assert (signal.diff() < 0).all()


def sample_embeddings(embeddings, spread=1.0, count=20000, seed=0):
    return denoiser.sample_embeddings(embeddings, count, spread, make_rng(seed))


def test_sampled_embeddings_are_spread_as_those_of_the_training_clips():
    mix = torch.tensor([[2.0, 1, 0], [0, 1, 0], [0, 0, 0.1]])
    embeddings = torch.randn(50, 3, generator=make_rng(1)) @ mix + torch.tensor([5.0, -3, 0])
    sampled = sample_embeddings(embeddings)
    assert sampled.shape == (20000, 3)
    torch.testing.assert_close(sampled.mean(0), embeddings.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(sampled.T.cov(), embeddings.T.cov(correction=0), atol=0.1, rtol=0.05)
    double = sample_embeddings(embeddings, spread=2.0)
    torch.testing.assert_close(double - embeddings.mean(0), 2 * (sampled - embeddings.mean(0)), atol=1e-4, rtol=1e-4)


def test_without_spread_every_sampled_embedding_is_the_centroid():
    embeddings = torch.randn(9, 3, generator=make_rng(1))
    assert torch.equal(sample_embeddings(embeddings, spread=0.0, count=4), embeddings.mean(0).expand(4, 3))


def test_sampled_embeddings_are_determined_by_the_rng():
    embeddings = torch.randn(9, 3, generator=make_rng(1))
    assert torch.equal(sample_embeddings(embeddings, count=4), sample_embeddings(embeddings, count=4))
    assert not torch.equal(sample_embeddings(embeddings, count=4), sample_embeddings(embeddings, count=4, seed=1))
