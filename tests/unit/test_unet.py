"""Diffusion of mels as images: its samplers, conditions and network, and fits of a few updates."""

from dataclasses import replace

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from ser.core.errors import InputError
from ser.core.rng import make_rng
from ser.data.clips import Normaliser
from ser.generators import unet
from ser.generators.base import EnhancementConfig
from tests.helpers import toy_generators
from tests.helpers.toy_generators import (
    CLIPS,
    FRAMES,
    N_CLASSES,
    N_MELS,
    NORMALISER,
    bytes_of,
    embeddings_of,
    part,
    sample,
    toy_mels,
)

WIDTH = N_CLASSES  # of the embeddings
FIT = toy_generators.fit_config("unet_diffusion")
ENHANCEMENT = EnhancementConfig(strength=0.5, steps=8, guidance=1.0)
ONE_EMOTION = part(clips=replace(CLIPS, labels=torch.zeros_like(CLIPS.labels)))
THE_ONE = torch.zeros(12, dtype=torch.long)
LOWER, UPPER = (embeddings_of(torch.full((12,), label)) for label in (0, 1))


def fit(**change):
    return toy_generators.fit("unet_diffusion", ONE_EMOTION, **change)


@pytest.fixture(scope="module")
def fitted():
    return fit()


def enhanced(generator, embeddings, labels=THE_ONE, mels=None, batch=5, **change):
    """Mels of the lower kind, noised and denoised."""
    mels = toy_mels(0, longest=FRAMES) if mels is None else mels
    return generator.enhance(mels, labels, embeddings, ENHANCEMENT.model_copy(update=change), make_rng(0), batch=batch)


def test_enhancement_without_an_emotion_ignores_conditions(fitted):
    assert bytes_of(enhanced(fitted, None, labels=None)) == bytes_of(enhanced(fitted, UPPER, guidance=0.0))


@pytest.mark.parametrize(("strength", "steps"), [(1.0, 4), (0.5, 8), (0.25, 1), (0.003, 8)])
def test_enhancement_starts_at_the_stated_noise_level(fitted, monkeypatch, strength, steps):
    """Mels are noised to the level of the first step and padded with silence."""
    given = []

    def remember(model, images, condition, solver, *_):
        given.append((images, solver.timesteps))
        return images

    monkeypatch.setattr(unet, "denoise", remember)
    mels = [mel[:, : FRAMES - number] for number, mel in enumerate(toy_mels(0, count=4, longest=FRAMES))]
    result = enhanced(fitted, LOWER[:4], THE_ONE[:4], mels, batch=4, strength=strength, steps=steps)
    ((images, timesteps),) = given
    level = timesteps[0]
    assert level == round(strength * unet.TRAIN_STEPS - 1) and len(timesteps) == min(steps, level + 1)
    signal = unet.noise_schedule().alphas_cumprod[level]
    noise = torch.randn(4, 1, N_MELS, FRAMES, generator=make_rng(0))
    silence = NORMALISER.silence()
    clean = torch.stack([torch.cat([mel, silence.expand(-1, FRAMES - mel.shape[1])], dim=1) for mel in mels])[:, None]
    expected = signal**0.5 * clean + (1 - signal) ** 0.5 * noise
    torch.testing.assert_close(images, expected, atol=1e-5, rtol=0)
    for mel, own, image in zip(result, mels, images, strict=True):
        assert torch.equal(mel, image[0, :, : own.shape[1]])


@pytest.mark.parametrize("sampler", ["dpm_solver", "ddpm"])
@pytest.mark.parametrize("start", [1.0, 0.4, 0.05])
@pytest.mark.parametrize("steps", [1, 3, 8, 50])
def test_noise_levels_are_even_from_the_start_and_none_is_repeated(sampler, steps, start):
    levels = unet.make_solver(sampler, steps, start).timesteps
    assert len(levels) == steps
    assert levels[0] == round(start * unet.TRAIN_STEPS) - 1
    gaps = -torch.cat([levels, torch.tensor([-1])]).diff()
    assert gaps.min() >= 1 and gaps.max() - gaps.min() <= 1
    assert float(gaps.float().mean()) == pytest.approx(start * unet.TRAIN_STEPS / steps, abs=1)


@pytest.mark.parametrize("sampler", ["dpm_solver", "ddpm"])
@pytest.mark.parametrize(("start", "count"), [(1.0, 1000), (0.02, 20), (0.001, 1), (1e-5, 1)])
def test_there_are_no_more_steps_than_levels(sampler, start, count):
    solver = unet.make_solver(sampler, 1000, start)
    assert solver.timesteps.tolist() == list(range(count - 1, -1, -1))
    mels = torch.randn(2, 1, 2, 2, generator=make_rng(0))
    for time in solver.timesteps:
        mels = solver.step(torch.zeros_like(mels), time, mels, generator=make_rng(0)).prev_sample
    assert torch.isfinite(mels).all()


def test_samples_of_one_condition_differ(fitted):
    assert len(set(bytes_of(sample(fitted, embeddings=LOWER)))) == 12


@pytest.mark.parametrize("spread", [0.2, 1, 4])
@pytest.mark.parametrize("sampler, steps", [("dpm_solver", 25), ("ddpm", 500)])
def test_with_an_exact_denoiser_the_samples_have_the_spread_of_the_data(sampler, steps, spread):
    rng = make_rng(0)
    mels = torch.randn(20000, 1, 1, 1, generator=rng)
    solver = unet.make_solver(sampler, steps)
    for time in solver.timesteps:
        signal = unet.noise_schedule().alphas_cumprod[time]
        clean = signal**0.5 * spread**2 / (signal * spread**2 + 1 - signal) * mels
        noise = (mels - signal**0.5 * clean) / (1 - signal) ** 0.5
        mels = solver.step(signal**0.5 * noise - (1 - signal) ** 0.5 * clean, time, mels, generator=rng).prev_sample
    assert float(mels.std()) == pytest.approx(spread, rel=0.12)


@pytest.mark.parametrize("ema", [0.0, 0.8])
def test_the_moving_average_of_the_weights_is_kept(monkeypatch, ema):
    models, steps, build = [], [], unet.build
    monkeypatch.setattr(unet, "build", lambda *arguments: models.append(build(*arguments)) or models[-1])

    def remember(*_):
        steps.append({name: weight.detach().clone() for name, weight in models[0].named_parameters()})

    hook = register_optimizer_step_post_hook(remember)
    try:
        state = fit(ema=ema).unet.state_dict()
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
    model = unet.build(FIT, WIDTH)
    mels = torch.randn(3, 1, N_MELS, 16)
    flags = torch.tensor([True, False, True])
    v = model(mels, torch.tensor([0, 500, 999]), torch.randn(3, WIDTH), flags)
    assert v.shape == mels.shape


def test_unconditional_clips_ignore_their_condition_and_the_others_do_not():
    model = unet.build(FIT, WIDTH).eval()
    mels, time = torch.randn(2, 1, N_MELS, FRAMES), torch.tensor([500, 500])
    flags = torch.tensor([True, False])
    with torch.inference_mode():
        first, second = (model(mels, time, condition, flags) for condition in (LOWER[:2], UPPER[:2]))
    assert not torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.parametrize(
    ("change", "n_mels", "message"),
    [
        ({"frames": 10}, 8, "key `generators.unet_diffusion.fit.frames` is 10; the U-Net needs a multiple of 4"),
        ({"channels": [8, 32, 32]}, 12, "key `mels.n_mels` is 12; the U-Net needs a multiple of 8"),
    ],
)
def test_mels_that_do_not_divide_into_cells_are_refused(change, n_mels, message):
    with pytest.raises(InputError, match=f"^params.yaml: {message}"):
        toy_generators.fit("unet_diffusion", part(normaliser=Normaliser.blank(n_mels)), **change)


def test_the_schedule_ends_in_pure_noise():
    signal = unet.noise_schedule().alphas_cumprod
    assert signal[0] > 0.999
    assert signal[-1] < 1e-6
    assert (signal.diff() < 0).all()


def sample_embeddings(embeddings, spread=1.0, count=20000, seed=0):
    return unet.sample_embeddings(embeddings, count, spread, make_rng(seed))


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
