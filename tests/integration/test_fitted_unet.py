"""What diffusion with a U-Net learns from spectra that are loud below or above."""

from dataclasses import replace

import pytest
import torch

from ser.core.optim import LOG_POINTS
from ser.core.rng import make_rng
from ser.generators import unet
from ser.generators.base import EnhancementConfig
from tests.helpers import toy_generators
from tests.helpers.toy_generators import (
    CLIPS,
    FRAMES,
    N_CLASSES,
    N_MELS,
    SAMPLES,
    bytes_of,
    embeddings_of,
    loudness_difference,
    part,
    sample,
    toy_mels,
)

ENHANCEMENT = EnhancementConfig(strength=0.5, steps=10, guidance=1.0)
# Only embeddings tell the clips apart.
ONE_EMOTION = part(clips=replace(CLIPS, labels=torch.zeros_like(CLIPS.labels)))
THE_ONE = torch.zeros(12, dtype=torch.long)
LOWER, UPPER = (embeddings_of(torch.full((12,), label)) for label in (0, 1))


def fit(**change):
    return toy_generators.fit("unet_diffusion", ONE_EMOTION, **change)


@pytest.fixture(scope="module")
def trained():
    """A generator fitted until it tells the two kinds apart by their embeddings, and the losses logged."""
    losses = []
    return fit(updates=1000, log=lambda metrics: losses.append(metrics["loss"])), losses


def test_the_loss_goes_down(trained):
    _, losses = trained
    assert len(losses) == LOG_POINTS
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_samples_have_the_shape_asked_for_and_are_finite(trained):
    mels = torch.stack(sample(trained[0], embeddings=LOWER))
    assert mels.shape == (12, N_MELS, FRAMES)
    assert mels.dtype == torch.float32
    assert torch.isfinite(mels).all()
    assert mels.abs().max() < 6


@pytest.mark.parametrize("sampler, steps", [("dpm_solver", 8), ("ddpm", 200)])
def test_samples_follow_their_condition(trained, sampler, steps):
    assert loudness_difference(sample(trained[0], embeddings=LOWER, sampler=sampler, steps=steps)) < -1
    assert loudness_difference(sample(trained[0], embeddings=UPPER, sampler=sampler, steps=steps)) > 1


def test_samples_follow_their_emotion():
    without_embeddings = part(embeddings=torch.zeros(len(CLIPS), N_CLASSES))
    generator = toy_generators.fit("unet_diffusion", without_embeddings, updates=300)
    lower, upper = (sample(generator, embeddings=torch.zeros(12, N_CLASSES), label=label) for label in (0, 1))
    assert loudness_difference(lower) < -1 and loudness_difference(upper) > 1


def enhanced(generator, embeddings, labels=THE_ONE, **change):
    """Mels of the lower kind, as they are, and noised and denoised."""
    config = ENHANCEMENT.model_copy(update=change)
    mels = toy_mels(0, longest=FRAMES)
    return mels, generator.enhance(mels, labels, embeddings, config, make_rng(0), batch=5)


def test_enhancement_keeps_the_more_of_a_clip_the_weaker_it_is(trained):
    changes = []
    for strength in (0.1, 0.5, 0.9):
        mels, enhanced_mels = enhanced(trained[0], LOWER, strength=strength)
        changes.append(float((torch.stack(enhanced_mels) - torch.stack(mels)).abs().mean()))
    assert changes == sorted(changes)
    assert changes[0] < 0.5 * changes[-1]


def test_strong_enhancement_gives_a_clip_the_emotion_of_its_condition(trained):
    assert loudness_difference(enhanced(trained[0], UPPER, strength=1.0)[1]) > 1
    assert loudness_difference(enhanced(trained[0], LOWER, strength=1.0)[1]) < -1


def test_guidance_of_zero_ignores_the_condition_and_more_follows_it_more(trained):
    assert bytes_of(sample(trained[0], embeddings=LOWER, guidance=0.0)) == bytes_of(
        sample(trained[0], embeddings=UPPER, guidance=0.0)
    )
    differences = [
        loudness_difference(sample(trained[0], embeddings=UPPER, guidance=guidance)) for guidance in (0.0, 0.5, 1.0)
    ]
    assert differences == sorted(differences)


def test_guidance_of_one_is_the_conditional_prediction(trained):
    rng = make_rng(0)
    condition = unet.make_condition(
        unet.sample_embeddings(UPPER, 12, SAMPLES["unet_diffusion"]["spread"], rng), THE_ONE, 1
    )
    reference = sample(trained[0], embeddings=UPPER, guidance=1.0)
    solver = unet.make_solver(SAMPLES["unet_diffusion"]["sampler"], SAMPLES["unet_diffusion"]["steps"])
    mels = torch.randn(12, 1, N_MELS, FRAMES, generator=rng)
    with torch.inference_mode():
        for time in solver.timesteps:
            v = trained[0].unet(mels, time.expand(12), condition, torch.ones(12, dtype=torch.bool))
            mels = solver.step(v, time, mels).prev_sample
    torch.testing.assert_close(torch.stack(reference), mels[:, 0], atol=1e-3, rtol=1e-3)


def test_more_samples_than_a_batch(trained):
    mels = sample(trained[0], embeddings=UPPER, batch=5)
    assert len(mels) == len(set(bytes_of(mels))) == 12
    assert loudness_difference(mels) > 1


def test_the_condition_and_its_absence_are_both_learnt(trained):
    untrained = unet.build(toy_generators.fit_config("unet_diffusion"), N_CLASSES + 1).state_dict()
    assert trained[0].unet.state_dict().keys() == untrained.keys()
    assert trained[0].unet.unconditional.abs().max() > 0  # initially zero
    assert fit(unconditional=0.0).unet.unconditional.abs().max() == 0
