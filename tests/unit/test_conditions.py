"""What generators are conditioned on: how conditions of new clips are drawn, dropped and embedded."""

import pytest
import torch

from ser.core.rng import make_rng
from ser.data.factors import FACTORS, UNKNOWN
from ser.generators import conditions
from ser.generators.conditions import CORPUS, EMOTION, INTENSITY, LENGTH_SPREAD, SPEAKER, TEXT, Conditions

# Speakers 1 and 2 are of the first corpus, 3 to 5 of the second; the last one never speaks with emotion 1.
CODES = torch.tensor(
    [  # emotion, intensity, speaker, corpus, text
        [1, 1, 1, 1, 1],
        [2, 1, 1, 1, 1],
        [1, 1, 2, 1, 2],
        [2, 2, 2, 1, 2],
        [1, 2, 3, 2, 3],
        [2, 1, 4, 2, 4],
        [1, 1, 4, 2, 4],
        [2, 1, 5, 2, 3],
    ]
)
LENGTHS = torch.tensor([50, 60, 70, 80, 200, 220, 240, 260])
COUNT = 4000


@pytest.fixture
def training():
    return Conditions(CODES, LENGTHS)


def draw(training, label=0, longest=1000, seed=0):
    return training.draw(label, COUNT, longest, make_rng(seed))


def test_factors_are_in_the_order_of_their_names():
    assert [FACTORS[number] for number in (EMOTION, INTENSITY, SPEAKER, CORPUS, TEXT)] == list(FACTORS)


def test_sizes_are_the_numbers_of_values(training):
    assert training.sizes == (2, 2, 5, 2, 4)
    assert training.of_emotion(0).tolist() == [True, False] * 2 + [True, False, True, False]


@pytest.mark.parametrize("label", [0, 1])
def test_intensity_corpus_and_sentence_are_those_of_a_training_clip_of_the_emotion(training, label):
    codes, _ = draw(training, label)
    assert codes.dtype == torch.long and codes.shape == (COUNT, len(FACTORS))
    own = CODES[CODES[:, EMOTION] == 1 + label]
    others = [EMOTION, INTENSITY, CORPUS, TEXT]
    assert {tuple(row) for row in codes[:, others].tolist()} == {tuple(row) for row in own[:, others].tolist()}


def test_the_speaker_is_any_of_the_corpus_of_the_clip_and_of_no_other(training):
    codes, _ = draw(training)
    of_corpus = {corpus: codes[codes[:, CORPUS] == corpus, SPEAKER].bincount() for corpus in (1, 2)}
    assert of_corpus[1].nonzero()[:, 0].tolist() == [1, 2]
    assert of_corpus[2].nonzero()[:, 0].tolist() == [3, 4, 5]  # also the one without a clip of the emotion
    for counts in of_corpus.values():
        drawn = counts[counts > 0].float()
        assert drawn.min() > 0.85 * drawn.mean()


def test_lengths_are_near_those_of_training_clips(training):
    codes, frames = draw(training)
    assert frames.dtype == torch.long
    sources = {(1, 1): 50, (1, 2): 70, (2, 3): 200, (2, 4): 240}  # corpus and sentence -> frames
    for (corpus, text), length in sources.items():
        drawn = frames[(codes[:, CORPUS] == corpus) & (codes[:, TEXT] == text)] / length
        assert float(drawn.log().std()) == pytest.approx(LENGTH_SPREAD, rel=0.15)
        assert float(drawn.log().mean()) == pytest.approx(0, abs=0.01)
        assert len(drawn.unique()) > 5


def test_no_clip_is_longer_than_allowed(training):
    _, frames = draw(training, longest=210)
    assert frames.max() == 210 and frames.min() < 50


def test_draws_are_determined_by_the_rng_and_leave_the_training_clips_as_they_are(training):
    first, again, other = draw(training), draw(training), draw(training, seed=1)
    assert all(torch.equal(one, two) for one, two in zip(first, again))
    assert not any(torch.equal(one, two) for one, two in zip(first, other))
    assert torch.equal(training.codes, CODES) and torch.equal(training.length, LENGTHS)


def test_conditions_are_buffers(training):
    restored = Conditions(torch.zeros_like(CODES), torch.zeros_like(LENGTHS))
    restored.load_state_dict(training.state_dict())
    assert torch.equal(restored.codes, CODES) and torch.equal(restored.length, LENGTHS)


@pytest.mark.parametrize("share", [0.0, 0.15, 0.6])
def test_factors_are_dropped_one_by_one_and_sometimes_all(share):
    codes = 1 + torch.randint(5, (20_000, len(FACTORS)), generator=make_rng(0))
    dropped = conditions.dropped(codes, share, make_rng(1))
    missing = dropped == UNKNOWN
    assert torch.equal(dropped[~missing], codes[~missing])
    each = 1 - (1 - share) * (1 - share / 3)
    torch.testing.assert_close(missing.float().mean(0), torch.full((len(FACTORS),), each), atol=0.01, rtol=0)
    every = share / 3 + (1 - share / 3) * share ** len(FACTORS)
    assert float(missing.all(1).float().mean()) == pytest.approx(every, abs=0.01)
    assert (codes != UNKNOWN).all()


def test_without_emotion_the_other_factors_stay():
    free = conditions.without_emotion(CODES)
    assert (free[:, [EMOTION, INTENSITY]] == UNKNOWN).all()
    assert torch.equal(free[:, 2:], CODES[:, 2:]) and (CODES != UNKNOWN).all()


def test_numbers_are_near_zero_for_usual_clips_and_tell_length_and_stretches():
    frames = torch.tensor([60, 100, 160])
    plain = conditions.scaled(frames, 1.0, 1.0)
    assert plain.shape == (3, conditions.NUMBERS)
    assert plain[:, 0].abs().max() < 2 and (plain[:, 0].diff() > 0).all()
    assert (plain[:, 1:] == 0).all()
    height, speed = torch.tensor([0.9, 1.0, 1.1]), torch.tensor([1.1, 0.9, 1.0])
    stretched = conditions.scaled(frames, height, speed)
    assert torch.equal(stretched[:, 0], plain[:, 0])
    torch.testing.assert_close(stretched[:, 1:], torch.tensor([[-1.0, 1], [0, -1], [1, 0]]), atol=1e-5, rtol=0)


def test_every_factor_and_number_changes_the_embedding():
    embedding = conditions.Embedding((2, 2, 5, 2, 4), 16)
    codes, numbers = CODES[:1], conditions.scaled(torch.tensor([60]), 1.0, 1.0)
    vectors = [embedding(codes, numbers)]
    for factor in range(len(FACTORS)):
        unknown = codes.clone()
        unknown[:, factor] = UNKNOWN
        vectors.append(embedding(unknown, numbers))
    vectors += [embedding(codes, numbers + change) for change in torch.eye(conditions.NUMBERS)]
    assert all(vector.shape == (1, 16) for vector in vectors)
    assert len({vector.detach().numpy().tobytes() for vector in vectors}) == len(vectors)


def test_a_batch_is_embedded_clip_by_clip():
    embedding = conditions.Embedding((2, 2, 5, 2, 4), 16)
    numbers = conditions.scaled(LENGTHS, 1.0, 1.0)
    one_by_one = [embedding(CODES[number : number + 1], numbers[number : number + 1]) for number in range(len(CODES))]
    torch.testing.assert_close(embedding(CODES, numbers), torch.cat(one_by_one))
