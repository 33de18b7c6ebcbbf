"""Diffusion over sequences as generators: tokens, lengths, batches and enhancement."""

import pytest
import torch

from ser.core.rng import make_rng
from ser.generators.base import EnhancementConfig, RecognitionConfig
from ser.generators.conditions import EMOTION
from ser.generators.sequence_diffusion import in_order_of_length
from ser.generators.sequences import FRAMES
from tests.helpers.toy_generators import (
    CLIPS,
    LONGEST,
    LOWER,
    N_MELS,
    NORMALISER,
    UPPER,
    bytes_of,
    fit,
    fitted_autoencoder,
    sample,
    toy_mels,
)

NAMES = ["diffusion", "latent_diffusion"]
FAINT = EnhancementConfig(strength=1e-6, steps=3, guidance=3.0)


@pytest.fixture(scope="module")
def diffusion():
    return fit("diffusion")


@pytest.fixture(scope="module", params=NAMES)
def generator(request):
    return fit(request.param)


def enhanced(generator, mels, label=None, config=FAINT, batch=64, seed=0):
    labels = None if label is None else torch.full((len(mels),), label)
    return generator.enhance(mels, labels, None, config, make_rng(seed), batch)


def test_tokens_of_diffusion_are_frames_of_the_mels(diffusion):
    mels = torch.randn(3, N_MELS, 5 * FRAMES)
    tokens = diffusion.to_tokens(mels)
    assert tokens.shape == (3, 5, N_MELS * FRAMES)
    assert torch.equal(diffusion.to_mels(tokens), mels)
    only_second = torch.zeros_like(mels)
    only_second[:, :, FRAMES : 2 * FRAMES] = 1
    assert diffusion.to_tokens(only_second).any(2).tolist() == [[False, True, False, False, False]] * 3


def test_tokens_of_latent_diffusion_are_those_of_the_shared_autoencoder():
    generator, mels = fit("latent_diffusion"), NORMALISER(CLIPS.left_aligned(torch.arange(4), LONGEST))
    tokens = generator.to_tokens(mels)
    assert torch.equal(tokens, fitted_autoencoder().encode(mels, "fp32"))
    assert torch.equal(generator.to_mels(tokens), fitted_autoencoder().decode(tokens, "fp32"))


def test_tokens_of_whole_clips_have_zero_mean_and_unit_variance(diffusion):
    _, mels = CLIPS.subset(torch.nonzero((CLIPS.length % FRAMES == 0) & (CLIPS.length <= LONGEST))[:, 0]).pieces(100)
    tokens = torch.cat([diffusion.to_tokens(NORMALISER(mel)[None])[0] for mel in mels])
    scaled = (tokens - diffusion.token_mean) / diffusion.token_std
    assert scaled.mean(0).abs().max() < 1 and 0.5 < scaled.std(0).median() < 1.5


def test_samples_have_the_drawn_lengths_in_the_drawn_order(generator):
    _, frames = generator.conditions.draw(UPPER, 12, LONGEST, make_rng(5))
    assert [mel.shape[1] for mel in sample(generator, UPPER, seed=5)] == frames.tolist()


@pytest.mark.parametrize("batch", [1, 5, 100])
def test_samples_do_not_depend_on_the_batch_size_beyond_rounding(generator, monkeypatch, batch):
    """As far as tokens go: normalisation in the autoencoder also sees the silence behind a clip."""
    if type(generator).__name__ == "LatentDiffusion":
        monkeypatch.setattr(generator, "to_mels", lambda tokens: tokens.mT.repeat_interleave(FRAMES, 2))
    reference, mels = sample(generator, UPPER), sample(generator, UPPER, batch=batch)
    for one, other in zip(reference, mels, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("batch", [1, 5, 100])
def test_enhancement_does_not_depend_on_the_batch_size_beyond_rounding(diffusion, batch):
    config, mels = FAINT.model_copy(update={"strength": 0.6}), toy_mels(LOWER)
    for one, other in zip(
        enhanced(diffusion, mels, UPPER, config), enhanced(diffusion, mels, UPPER, config, batch), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("label", [None, LOWER, UPPER])
def test_the_faintest_enhancement_by_diffusion_gives_back_the_clip(diffusion, label):
    mels = toy_mels(LOWER)
    assert {mel.shape[1] % FRAMES for mel in mels} == set(range(FRAMES))
    for mel, own in zip(enhanced(diffusion, mels, label), mels, strict=True):
        torch.testing.assert_close(mel, own, atol=1e-3, rtol=0)


def test_the_faintest_enhancement_by_latent_diffusion_is_the_encoded_and_decoded_clip():
    generator = fit("latent_diffusion")
    mels = [mel[:, :12] for mel in toy_mels(LOWER) if mel.shape[1] >= 12]
    decoded = generator.to_mels(generator.to_tokens(torch.stack(mels)))
    for mel, expected in zip(enhanced(generator, mels), decoded, strict=True):
        torch.testing.assert_close(mel, expected, atol=1e-2, rtol=0)


def test_the_strongest_enhancement_keeps_nothing_but_the_lengths(diffusion):
    config = FAINT.model_copy(update={"strength": 1.0})
    lower, upper = ([mel[:, :9] for mel in toy_mels(label)] for label in (LOWER, UPPER))
    for one, other in zip(enhanced(diffusion, lower, UPPER, config), enhanced(diffusion, upper, UPPER, config)):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("label", [None, LOWER, UPPER])
def test_of_the_factors_enhancement_gives_the_emotion_alone(generator, monkeypatch, label):
    codes, forward = [], generator.flow.forward
    monkeypatch.setattr(generator.flow, "forward", lambda *arguments: codes.append(arguments[3]) or forward(*arguments))
    enhanced(generator, toy_mels(LOWER), label)
    given = torch.cat(codes)
    assert not given[:, EMOTION + 1 :].any()
    assert set(given[:, EMOTION].tolist()) == ({0} if label is None else {0, 1 + label})  # 0: for guidance


def test_beyond_the_end_of_a_clip_silence_is_decoded(generator, monkeypatch):
    decoded, to_mels = [], generator.to_mels
    monkeypatch.setattr(generator, "to_mels", lambda tokens: decoded.append(tokens) or to_mels(tokens))
    mels = sample(generator)
    (tokens,) = decoded
    silence = generator.to_tokens(NORMALISER.silence().expand(-1, 100)[None])[0, 12]
    lengths = sorted(-(-mel.shape[1] // FRAMES) for mel in mels)
    assert lengths[0] < lengths[-1] == tokens.shape[1]
    for row, length in zip(tokens, lengths, strict=True):
        torch.testing.assert_close(row[length:], silence.expand(len(row) - length, -1), atol=0.02, rtol=0.02)
        assert (row[:length] - silence).abs().mean(1).min() > 0.05


def test_samples_are_drawn_as_clips_that_are_not_stretched(generator, monkeypatch):
    numbers, forward = [], generator.flow.forward
    monkeypatch.setattr(
        generator.flow, "forward", lambda *arguments: numbers.append(arguments[4]) or forward(*arguments)
    )
    sample(generator)
    assert not torch.cat(numbers)[:, 1:].any()


def test_more_guidance_is_another_sample(generator):
    drawn = [bytes_of(sample(generator, guidance=guidance)) for guidance in (0.0, 1.0, 3.0)]
    assert len({*map(tuple, drawn)}) == 3


def test_batches_are_in_order_of_length_and_results_in_the_order_of_the_clips():
    length, batches = torch.tensor([7, 3, 9, 3, 1]), []

    def make(index):
        batches.append(index.tolist())
        return [f"clip {number}" for number in index.tolist()]

    assert in_order_of_length(length, make, 2) == [f"clip {number}" for number in range(5)]
    assert batches == [[4, 1], [3, 0], [2]]


LEVELS = RecognitionConfig(levels=8, lowest=0.3, highest=0.9, scale=1.0)


def likelihoods(generator, mels, config=LEVELS, batch=64, seed=0):
    return generator.log_likelihoods(mels, 2, config, make_rng(seed), batch)


def test_the_class_of_a_mel_explains_it_best(generator):
    mels = [*toy_mels(LOWER), *toy_mels(UPPER)]
    found = likelihoods(generator, mels)
    assert found.shape == (len(mels), 2) and (found < 0).all()
    classes = torch.tensor([LOWER] * (len(mels) // 2) + [UPPER] * (len(mels) // 2))
    assert (found.argmax(1) == classes).float().mean() > 0.9


def test_likelihoods_do_not_depend_on_the_other_mels_of_a_batch(diffusion):
    mels = [torch.randn(N_MELS, frames) for frames in (5, LONGEST, 12, 9)]
    torch.testing.assert_close(
        likelihoods(diffusion, mels), likelihoods(diffusion, mels, batch=1), rtol=1e-4, atol=1e-4
    )


def test_generators_that_are_no_diffusion_models_have_no_likelihoods():
    with pytest.raises(NotImplementedError):
        fit("vae").log_likelihoods(toy_mels(LOWER), 2, LEVELS, make_rng(0))
