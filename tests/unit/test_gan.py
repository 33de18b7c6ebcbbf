"""The networks of the GAN, which see clips of different lengths in one batch."""

import pytest
import torch

from ser.generators.gan import Discriminator, Refiner
from ser.generators.sequences import inside, join
from tests.helpers.toy_generators import LOWER, fit, sample

LATENTS, CHANNELS, N_CLASSES = 6, 16, 2
LENGTH = torch.tensor([5, 8, 3])
LABELS = torch.tensor([0, 1, 1])


def tokens(count=8, seed=0):
    return torch.randn(len(LENGTH), count, LATENTS, generator=torch.Generator().manual_seed(seed))


def network(kind):
    torch.manual_seed(0)
    model = kind(LATENTS, CHANNELS, N_CLASSES).eval()
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_an_untrained_refiner_leaves_mixtures_as_they_are():
    torch.manual_seed(0)
    refiner = Refiner(LATENTS, CHANNELS, N_CLASSES)
    torch.nn.init.zeros_(refiner.last.bias)
    assert torch.equal(refiner(tokens(), tokens(seed=1), LABELS, inside(LENGTH, 8)), tokens())


@torch.inference_mode()
def test_what_lies_beyond_the_end_of_a_clip_changes_nothing():
    refiner, discriminator = network(Refiner), network(Discriminator)
    short, noise = tokens(), tokens(seed=1)
    beyond = ~inside(LENGTH, 8)[:, :, None]
    filled = short.masked_fill(beyond, 50.0)
    longer, longer_noise = (torch.cat([each, torch.full((3, 4, LATENTS), 9.0)], dim=1) for each in (filled, noise))
    refined = refiner(short, noise, LABELS, inside(LENGTH, 8))[~beyond.squeeze(2)]
    for mixed, own_noise in ((filled, noise), (longer, longer_noise)):
        where = inside(LENGTH, mixed.shape[1])
        torch.testing.assert_close(refiner(mixed, own_noise, LABELS, where)[where], refined)
        expected = discriminator(short, LABELS, inside(LENGTH, 8))
        torch.testing.assert_close(discriminator(mixed, LABELS, where), expected)


@torch.inference_mode()
@pytest.mark.parametrize("kind", [Refiner, Discriminator])
def test_the_emotion_matters(kind):
    model, where = network(kind), inside(LENGTH, 8)
    more = (tokens(seed=1),) if kind is Refiner else ()
    one, other = (model(tokens(), *more, labels, where) for labels in (LABELS, 1 - LABELS))
    assert (one - other).abs().reshape(len(LENGTH), -1).amax(1).min() > 1e-4


@torch.inference_mode()
def test_the_discriminator_sees_that_clips_of_a_batch_are_alike():
    """As the deviation over the batch, which is zero where all clips are the same."""
    model = network(Discriminator)
    where, labels = inside(torch.full((3,), 8), 8), torch.zeros(3, dtype=torch.long)
    same = tokens()[:1].expand(3, -1, -1)
    mixed = torch.cat([tokens()[:1], tokens()[1:]])
    assert float(model(same, labels, where)[0]) != pytest.approx(float(model(mixed, labels, where)[0]), abs=1e-5)


def test_joined_tokens_are_padded_back_to_themselves():
    parts = [tokens()[number, :count] for number, count in enumerate(LENGTH.tolist())]
    joined = join(parts, torch.tensor([4, 2, 7]))
    padded, length = joined.padded(torch.tensor([2, 0]))
    assert torch.equal(length, LENGTH[[2, 0]]) and joined.clip_index.tolist() == [4, 2, 7]
    assert torch.equal(padded[0, :3], parts[2]) and torch.equal(padded[1], parts[0])
    assert not padded[0, 3:].any()


def test_noise_makes_different_clips_of_the_same_mixture():
    generator = fit("gan", nearest=0.0, farthest=0.0)
    first, other = (sample(generator, LOWER, seed=seed) for seed in (0, 1))
    assert len({mel.numpy().tobytes() for mel in [*first, *other]}) == len(first) + len(other)
