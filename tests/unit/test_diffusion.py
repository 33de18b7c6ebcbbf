from dataclasses import replace

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from ser.core.errors import InputError
from ser.core.optim import LOG_POINTS
from ser.core.rng import make_rng
from ser.data.clips import Clips, Normaliser
from ser.generators import denoiser, diffusion

N_MELS, FRAMES, WIDTH = 8, 8, 2
FIT = diffusion.Fit(
    frames=FRAMES,
    patch=2,
    channels=[8, 32],
    updates=50,
    batch=8,
    learning_rate=0.002,
    ema=0.9,
    unconditional=0.2,
    precision="fp32",
)
SAMPLE = diffusion.Sample(count=8, sampler="dpm_solver", steps=10, guidance=1.0, spread=1.0)
ENHANCEMENT = denoiser.Enhancement(strength=0.5, sampler="dpm_solver", steps=20, guidance=1.0)
IDENTITY = Normaliser(torch.zeros(N_MELS), torch.ones(N_MELS))


def toy():
    """Spectra whose lower or upper half is loud, and the condition that tells which."""
    kind = torch.arange(40) % 2
    frames = 0.3 * torch.randn(40, FRAMES, N_MELS, generator=make_rng(0)) - 1
    frames += 2 * ((torch.arange(N_MELS) >= N_MELS // 2) == (kind == 1)[:, None])[:, None, :]
    start = FRAMES * torch.arange(40)
    clips = Clips(frames.flatten(0, 1).half(), start, torch.full((40,), FRAMES), kind)
    return clips, torch.nn.functional.one_hot(kind, WIDTH).float()


CLIPS, CONDITIONS = toy()
ONE_EMOTION = replace(CLIPS, emotion=torch.zeros_like(CLIPS.emotion))


def fit(seed=0, log=lambda _: None, clips=ONE_EMOTION, conditions=CONDITIONS, **change):
    return diffusion.fit(clips, IDENTITY, conditions, FIT.model_copy(update=change), seed, log)


def sample(state, conditions, seed=0, batch=64, fitted=FIT, emotion=0, **change):
    settings = SAMPLE.model_copy(update={"count": len(conditions)} | change)
    return diffusion.sample(
        state, N_MELS, emotion, conditions, fitted, settings, make_rng(seed), torch.device("cpu"), batch
    )


@pytest.fixture(scope="module")
def trained():
    """The state after enough training to tell the two kinds apart by their conditions, and the losses logged."""
    losses = []
    return fit(updates=1000, log=lambda figures: losses.append(figures["loss"])), losses


THE_ONE = torch.zeros(12, dtype=torch.long)
LOWER, UPPER = torch.tensor([1.0, 0]).expand(12, 2), torch.tensor([0.0, 1]).expand(12, 2)


def lean(mels):
    """How much louder the upper half of the mels is, on average; +2 or -2 in training."""
    return float(mels[:, :, N_MELS // 2 :].mean() - mels[:, :, : N_MELS // 2].mean())


def test_the_loss_goes_down(trained):
    _, losses = trained
    assert len(losses) == LOG_POINTS
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_samples_have_the_shape_asked_for_and_are_finite(trained):
    mels = sample(trained[0], LOWER)
    assert mels.shape == (12, 1, N_MELS, FRAMES)
    assert mels.dtype == torch.float32
    assert torch.isfinite(mels).all()
    assert mels.abs().max() < 6


SAMPLERS = [("dpm_solver", 8), ("ddim", 30), ("ddpm", 200)]


@pytest.mark.parametrize("sampler, steps", SAMPLERS)
def test_samples_follow_their_condition(trained, sampler, steps):
    assert lean(sample(trained[0], LOWER, sampler=sampler, steps=steps)) < -1
    assert lean(sample(trained[0], UPPER, sampler=sampler, steps=steps)) > 1


@pytest.mark.parametrize("spread", [0.2, 1, 10])
@pytest.mark.parametrize("sampler, steps", [("dpm_solver", 15), ("ddim", 100), ("ddpm", 500)])
def test_with_an_exact_denoiser_the_samples_have_the_spread_of_the_data(sampler, steps, spread):
    draws = make_rng(0)
    mels = torch.randn(20000, 1, 1, 1, generator=draws)
    solver = denoiser.sampler(sampler, steps)
    for time in solver.timesteps:
        signal = denoiser.schedule().alphas_cumprod[time]
        clean = signal**0.5 * spread**2 / (signal * spread**2 + 1 - signal) * mels
        noise = (mels - signal**0.5 * clean) / (1 - signal) ** 0.5
        mels = solver.step(signal**0.5 * noise - (1 - signal) ** 0.5 * clean, time, mels, generator=draws).prev_sample
    assert float(mels.std()) == pytest.approx(spread, rel=0.12)


def test_samples_follow_their_emotion():
    state = fit(clips=CLIPS, conditions=torch.zeros(len(CLIPS), WIDTH), updates=300)
    lower, upper = (sample(state, torch.zeros(12, WIDTH), emotion=emotion) for emotion in (0, 1))
    assert lean(lower) < -1 and lean(upper) > 1


def enhanced(state, conditions, emotion=THE_ONE, **change):
    """Mels of the lower kind, noised and denoised."""
    settings = ENHANCEMENT.model_copy(update=change)
    mels = CLIPS.crops(torch.arange(0, 24, 2), FRAMES, 0.5)
    return mels, diffusion.enhance(
        state, mels, emotion, conditions, FIT, settings, make_rng(0), torch.device("cpu"), batch=5
    )


def test_enhancement_keeps_the_more_of_a_clip_the_weaker_it_is(trained):
    changes = []
    for strength in (0.1, 0.5, 0.9):
        mels, made = enhanced(trained[0], LOWER, strength=strength)
        assert made.shape == mels.shape and torch.isfinite(made).all()
        changes.append(float((made - mels).abs().mean()))
    assert changes == sorted(changes)
    assert changes[0] < 0.5 * changes[-1]


def test_strong_enhancement_gives_a_clip_the_emotion_of_its_condition(trained):
    assert lean(enhanced(trained[0], UPPER, strength=1.0)[1]) > 1
    assert lean(enhanced(trained[0], LOWER, strength=1.0)[1]) < -1


def test_enhancement_without_an_emotion_heeds_no_condition(trained):
    _, made = enhanced(trained[0], None, emotion=None)
    _, free = enhanced(trained[0], UPPER, guidance=0.0)
    assert torch.equal(made, free)


def test_enhancement_is_determined_by_the_generator(trained):
    assert torch.equal(enhanced(trained[0], UPPER)[1], enhanced(trained[0], UPPER)[1])


def test_enhancement_in_too_few_steps_is_refused(trained):
    with pytest.raises(InputError, match="key `enhancement.steps` is 1: none of these steps is within `enhancement"):
        enhanced(trained[0], LOWER, strength=0.1, steps=1)


def test_samples_of_one_condition_differ(trained):
    mels = sample(trained[0], LOWER)
    assert len({mel.numpy().tobytes() for mel in mels}) == 12


def test_guidance_of_zero_heeds_no_condition_and_more_heeds_it_more(trained):
    assert torch.equal(sample(trained[0], LOWER, guidance=0.0), sample(trained[0], UPPER, guidance=0.0))
    leans = [lean(sample(trained[0], UPPER, guidance=guidance)) for guidance in (0.0, 0.5, 1.0)]
    assert leans == sorted(leans)


def test_guidance_of_one_is_the_conditional_prediction(trained):
    model = diffusion.load(trained[0], FIT, torch.device("cpu"))
    draws = make_rng(0)
    told = denoiser.told(denoiser.vary(UPPER, 12, SAMPLE.spread, draws), THE_ONE, 1)
    reference = sample(trained[0], UPPER, guidance=1.0)
    solver = denoiser.sampler(SAMPLE.sampler, SAMPLE.steps)
    mels = torch.randn(12, 1, N_MELS, FRAMES, generator=draws)
    with torch.inference_mode():
        for time in solver.timesteps:
            v = model(mels, time.expand(12), told, torch.ones(12, dtype=torch.bool))
            mels = solver.step(v, time, mels).prev_sample
    torch.testing.assert_close(reference, mels, atol=1e-3, rtol=1e-3)


def test_samples_are_determined_by_the_generator(trained):
    assert torch.equal(sample(trained[0], LOWER), sample(trained[0], LOWER))
    assert not torch.equal(sample(trained[0], LOWER), sample(trained[0], LOWER, seed=1))


def test_more_samples_than_a_batch(trained):
    mels = sample(trained[0], UPPER, batch=5)
    assert mels.shape[0] == len({mel.numpy().tobytes() for mel in mels}) == 12
    assert lean(mels) > 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_seed_gives_the_same_bytes(precision):
    first, again, other = (fit(seed, precision=precision) for seed in (0, 0, 1))
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    fitted = FIT.model_copy(update={"precision": precision})
    assert torch.isfinite(sample(first, LOWER, fitted=fitted)).all()


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_moving_average_of_the_weights_is_returned(monkeypatch, ema):
    models, steps, build = [], [], denoiser.build
    monkeypatch.setattr(denoiser, "build", lambda *arguments: models.append(build(*arguments)) or models[-1])

    def remember(*_):
        steps.append({name: weight.detach().clone() for name, weight in models[0].named_parameters()})

    hook = register_optimizer_step_post_hook(remember)
    try:
        state = fit(ema=ema)
    finally:
        hook.remove()
    assert len(steps) == FIT.updates
    expected = steps[0]
    for weights in steps[1:]:
        expected = {name: ema * expected[name] + (1 - ema) * weight for name, weight in weights.items()}
    for name, weight in expected.items():
        torch.testing.assert_close(state[name], weight, atol=1e-5, rtol=1e-4)
    assert any(not torch.equal(state[name], weight) for name, weight in steps[-1].items()) == (ema > 0)


def test_the_condition_and_its_absence_are_both_learnt(trained):
    untrained = denoiser.build(FIT, WIDTH + 1).state_dict()
    assert trained[0].keys() == untrained.keys()
    assert trained[0]["unconditional"].abs().max() > 0  # initially zero
    assert fit(unconditional=0.0)["unconditional"].abs().max() == 0


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
    normalise = Normaliser(torch.zeros(n_mels), torch.ones(n_mels))
    with pytest.raises(InputError, match=f"^params.yaml: {message}"):
        diffusion.fit(CLIPS, normalise, CONDITIONS, FIT.model_copy(update=change), 0, lambda _: None)


def test_the_schedule_ends_in_pure_noise():
    signal = denoiser.schedule().alphas_cumprod
    assert signal[0] > 0.999
    assert signal[-1] < 1e-6
    assert (signal.diff() < 0).all()


def vary(features, spread=1.0, count=20000, seed=0):
    return denoiser.vary(features, count, spread, torch.Generator().manual_seed(seed))


def test_conditions_vary_as_the_training_clips_do():
    mix = torch.tensor([[2.0, 1, 0], [0, 1, 0], [0, 0, 0.1]])
    features = torch.randn(50, 3, generator=torch.Generator().manual_seed(1)) @ mix + torch.tensor([5.0, -3, 0])
    conditions = vary(features)
    assert conditions.shape == (20000, 3)
    torch.testing.assert_close(conditions.mean(0), features.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(conditions.T.cov(), features.T.cov(correction=0), atol=0.1, rtol=0.05)
    double = vary(features, spread=2.0)
    torch.testing.assert_close(double - features.mean(0), 2 * (conditions - features.mean(0)), atol=1e-4, rtol=1e-4)


def test_without_spread_every_condition_is_the_centroid():
    features = torch.randn(9, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(vary(features, spread=0.0, count=4), features.mean(0).expand(4, 3))


def test_conditions_are_determined_by_the_generator():
    features = torch.randn(9, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(vary(features, count=4), vary(features, count=4))
    assert not torch.equal(vary(features, count=4), vary(features, count=4, seed=1))
