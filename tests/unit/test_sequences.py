"""Whole clips as sequences of tokens: there and back, stretched copies, batches."""

import math
from itertools import islice

import numpy as np
import pytest
import torch

from ser.core.rng import make_rng
from ser.data.clips import Normaliser, clips_from_mels
from ser.generators import conditions, sequences
from ser.generators.sequences import BATCH, FRAMES, POOL

BANDS = 5
NORMALISER = Normaliser(torch.linspace(-50, -30, BANDS), torch.linspace(8, 12, BANDS))


def to_tokens(mels):
    """FRAMES frames each, band by band."""
    assert mels.shape[2] % FRAMES == 0
    return mels.unflatten(2, (-1, FRAMES)).transpose(1, 2).flatten(2)


def to_mel(tokens):
    return tokens.unflatten(1, (BANDS, FRAMES)).transpose(0, 1).flatten(1)


def clips_of(lengths, seed=0):
    mels = [torch.rand(BANDS, length, generator=make_rng(seed + length)) * -70 - 5 for length in lengths]
    return clips_from_mels(mels, torch.zeros(len(lengths), dtype=torch.long))


LENGTHS = [17, 4, 30, 1, 23, 8, 30]
CLIPS = clips_of(LENGTHS)


def made(clips=CLIPS, longest=40, copies=1, spread=0.0, seed=0, tokens=to_tokens):
    return sequences.make(clips, NORMALISER, tokens, longest, copies, spread, make_rng(seed))


def tokens_of(result, copy):
    return result.tokens[result.start[copy] :][: result.length[copy]]


def test_without_stretching_the_clips_come_back_and_end_in_silence():
    result = made()
    assert sorted(result.clip_index.tolist()) == list(range(len(LENGTHS)))
    assert result.start.tolist() == [0, *result.length.cumsum(0)[:-1]]
    assert result.length.sum() == len(result.tokens)
    for copy, clip in enumerate(result.clip_index.tolist()):
        length = LENGTHS[clip]
        assert result.length[copy] == -(-length // FRAMES)
        mel = to_mel(tokens_of(result, copy))
        source = NORMALISER(CLIPS.left_aligned(torch.tensor([clip]), length))[0]
        torch.testing.assert_close(mel[:, :length], source, atol=1e-4, rtol=0)
        silence = NORMALISER.silence().expand(-1, mel.shape[1] - length)
        torch.testing.assert_close(mel[:, length:], silence, atol=1e-5, rtol=0)
    torch.testing.assert_close(result.numbers, conditions.scaled(CLIPS.length, 1.0, 1.0)[result.clip_index])


def test_long_clips_are_cut():
    result = made(longest=20)
    assert result.length.max() == 5
    for copy, clip in enumerate(result.clip_index.tolist()):
        length = min(LENGTHS[clip], 20)
        source = NORMALISER(CLIPS.left_aligned(torch.tensor([clip]), length))[0]
        torch.testing.assert_close(to_mel(tokens_of(result, copy))[:, :length], source, atol=1e-4, rtol=0)


def test_more_clips_than_are_made_at_once_keep_their_numbers():
    lengths = [4 * (1 + (7 * number) % 11) for number in range(2 * BATCH + 3)]
    clips = clips_of(lengths)
    result = made(clips, longest=100)
    assert sorted(result.clip_index.tolist()) == list(range(len(lengths)))
    assert (result.length == clips.length[result.clip_index] // FRAMES).all()
    first = torch.stack([tokens_of(result, copy)[0, ::FRAMES] for copy in range(len(lengths))])
    source = NORMALISER(clips.left_aligned(result.clip_index, 1))[:, :, 0]
    torch.testing.assert_close(first, source, atol=1e-4, rtol=0)


def test_the_first_copy_of_every_clip_is_not_stretched_and_the_others_are_of_each_their_own_way():
    result, plain = made(copies=4, spread=0.2), made()
    assert result.clip_index.bincount().tolist() == [4] * len(LENGTHS)
    count = len(LENGTHS)
    assert torch.equal(result.tokens[: len(plain.tokens)], plain.tokens)
    assert torch.equal(result.numbers[:count], plain.numbers)
    stretches = result.numbers[count:, 1:] / 10 + 1
    assert len(stretches.unique(dim=0)) == 3 * count
    assert (stretches >= 0.8 - 1e-6).all() and (stretches <= 1.2 + 1e-6).all()
    assert stretches.min() < 0.9 and stretches.max() > 1.1


def test_copies_are_determined_by_the_rng():
    first, again, other = (made(copies=2, spread=0.2, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.tokens, again.tokens) and torch.equal(first.numbers, again.numbers)
    assert not torch.equal(first.numbers, other.numbers)


def naive_stretch(mel, height, speed, longest):
    """By cubic interpolation, first along time and then along the bands; edges are repeated, ends are silent."""
    n_mels, length = mel.shape
    frames = min(max(round(length / speed), 1), longest)
    time = (np.arange(frames) + 0.5) * speed - 0.5
    band = (np.arange(n_mels) + 0.5) / height - 0.5
    along_time = np.stack([cubic(time, row) for row in mel])
    return np.stack([cubic(band, column) for column in along_time.T]).T


def cubic(places, values):
    """Cubic convolution (Keys 1981) with the parameter -0.75 of PyTorch."""

    def weight(distance):
        distance = abs(distance)
        if distance <= 1:
            return 1.25 * distance**3 - 2.25 * distance**2 + 1
        return -0.75 * (distance**3 - 5 * distance**2 + 8 * distance - 4)

    def at(place):
        return sum(
            weight(place - near) * values[min(max(near, 0), len(values) - 1)]
            for near in range(math.floor(place) - 1, math.floor(place) + 3)
        )

    return np.array([at(place) for place in places])


@pytest.mark.parametrize(
    ("height", "speed"), [(1.0, 1.0), (0.9, 1.0), (1.15, 1.0), (1.0, 0.8), (1.0, 1.2), (0.85, 1.17)]
)
def test_stretching_is_that_of_a_naive_loop(height, speed):
    clip_index = torch.tensor([2, 0, 6])
    factors = torch.full((3,), height), torch.full((3,), speed)
    mels, frames = sequences.stretched(CLIPS, clip_index, NORMALISER, *factors, 35)
    assert mels.shape[2] % FRAMES == 0 and mels.shape[2] - FRAMES < frames.max() <= mels.shape[2]
    for mel, count, clip in zip(mels, frames.tolist(), clip_index.tolist(), strict=True):
        length = LENGTHS[clip]
        source = NORMALISER(CLIPS.left_aligned(torch.tensor([clip]), length))[0].numpy()
        expected = naive_stretch(source, height, speed, 35)
        assert count == expected.shape[1]
        last = count if length == max(LENGTHS) else count - 3  # the last frames may be mixed with the silence behind
        np.testing.assert_allclose(mel[:, :last], expected[:, :last], atol=1e-3)
        silence = NORMALISER.silence().expand(-1, mel.shape[1] - count)
        torch.testing.assert_close(mel[:, count:], silence, atol=1e-5, rtol=0)


def test_each_clip_of_a_batch_is_stretched_by_its_own_factors():
    clip_index, height, speed = torch.tensor([0, 2, 4]), torch.tensor([0.9, 1.0, 1.1]), torch.tensor([1.1, 0.9, 1.0])
    together, frames = sequences.stretched(CLIPS, clip_index, NORMALISER, height, speed, 100)
    for number in range(3):
        (one,), (count,) = sequences.stretched(
            CLIPS,
            clip_index[number : number + 1],
            NORMALISER,
            height[number : number + 1],
            speed[number : number + 1],
            100,
        )
        assert count == frames[number]
        torch.testing.assert_close(one[:, : count - 1], together[number, :, : count - 1], atol=1e-3, rtol=0)


def test_a_batch_of_everything_covers_every_copy_once():
    result = made(clips_of(list(range(1, 31))), copies=2, spread=0.1)
    size = 8
    assert len(result.length) <= size * POOL
    batches = list(islice(result.batches(size, make_rng(0)), 8 * 3))
    for epoch in range(3):
        seen = torch.cat(batches[8 * epoch : 8 * epoch + 8])
        assert sorted(seen.tolist()) == list(range(60))
    assert not torch.equal(torch.cat(batches[:8]), torch.cat(batches[8:16]))


def test_clips_of_a_batch_are_about_as_long_and_batches_come_in_any_order():
    lengths = torch.randint(1, 400, (500,), generator=make_rng(0)).tolist()
    result = made(clips_of(lengths), longest=400)
    batches = list(islice(result.batches(10, make_rng(0)), 2 * POOL))
    spread = [int(result.length[batch].max() - result.length[batch].min()) for batch in batches]
    assert all(len(batch) == 10 for batch in batches)
    assert max(spread) < 45 and np.mean(spread) < 20  # of 100
    longest = [int(result.length[batch].max()) for batch in batches[:POOL]]
    assert longest not in (sorted(longest), sorted(longest, reverse=True))
    covered = torch.cat(list(islice(result.batches(10, make_rng(1)), 40 * POOL))).unique()
    assert len(covered) == 500


def test_batches_are_determined_by_the_rng():
    first, again, other = (torch.cat(list(islice(made().batches(3, make_rng(seed)), 9))) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_padded_batches_are_zero_beyond_the_ends():
    result = made()
    index = torch.tensor([5, 0, 3])
    tokens, length = result.padded(index)
    assert torch.equal(length, result.length[index])
    assert tokens.shape == (3, int(length.max()), BANDS * FRAMES)
    for row, copy, count in zip(tokens, index, length, strict=True):
        assert torch.equal(row[:count], tokens_of(result, copy))
        assert (row[count:] == 0).all()


def test_tokens_may_be_of_any_width_and_precision():
    result = made(tokens=lambda mels: mels[:, :2, ::FRAMES].transpose(1, 2).bfloat16())
    assert result.tokens.dtype == torch.float32 and result.tokens.shape[1] == 2
