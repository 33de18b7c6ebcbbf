"""Mixtures of two training clips: which clips are mixed, and how."""

import pytest
import torch

from ser.core.errors import InputError
from ser.core.params import check
from ser.core.rng import make_rng
from ser.data.clips import clips_from_mels
from ser.generators import vae
from ser.generators.vae import VAESampleConfig
from tests.helpers.toy_generators import (
    CLIPS,
    FACTORS,
    LONGEST,
    LOWER,
    N_MELS,
    NORMALISER,
    UPPER,
    embeddings_of,
    fit,
    fitted_autoencoder,
    part,
    sample,
)

COUNT = 300
# emotion, speaker, sentence of clips; other clips of the same emotion differ in speaker and share the sentence, where
# there are such
KINDS = [(1, 1, 1), (1, 1, 2), (1, 2, 1), (1, 2, 3), (2, 1, 1), (2, 1, 2), (1, 3, 1)]


@pytest.fixture(scope="module")
def generator():
    return fit("vae")


def mixture(generator, nearest, farthest=None, label=LOWER, count=COUNT, seed=0):
    config = VAESampleConfig(count=count, nearest=nearest, farthest=nearest if farthest is None else farthest)
    return generator.sample(label, embeddings_of(torch.zeros(1, dtype=torch.long)), config, make_rng(seed))


def test_the_first_clip_alone_is_the_encoded_and_decoded_clip(generator):
    """A mixture at distance 0."""
    own = torch.nonzero(CLIPS.labels == UPPER)[:, 0].tolist()
    start = generator.mixtures.length.cumsum(0) - generator.mixtures.length
    decoded = {}
    for clip in own:
        tokens = generator.mixtures.tokens[start[clip] :][: generator.mixtures.length[clip]].float()
        mel = fitted_autoencoder().decode(tokens[None], "fp32")[0, :, : min(int(CLIPS.length[clip]), LONGEST)]
        decoded[mel.numpy().tobytes()] = clip
    mels = mixture(generator, 0.0, label=UPPER)
    drawn = [decoded[mel.numpy().tobytes()] for mel in mels]
    assert set(drawn) == set(own)


def test_tokens_are_those_of_the_training_clips_in_their_order(generator):
    assert generator.mixtures.tokens.dtype == torch.float16
    assert generator.mixtures.length.tolist() == [-(-min(length, LONGEST) // 4) for length in CLIPS.length.tolist()]
    assert generator.mixtures.length.sum() == len(generator.mixtures.tokens)
    start = generator.mixtures.length.cumsum(0) - generator.mixtures.length
    for clip in (0, 7, 31):
        length = int(generator.mixtures.length[clip])
        mel = NORMALISER(CLIPS.left_aligned(torch.tensor([clip]), 4 * length))
        tokens = fitted_autoencoder().encode(mel, "fp32")[0]
        stored = generator.mixtures.tokens[start[clip] :][:length].float()
        assert float((stored - tokens).abs().mean()) < 0.02 * float(tokens.std())


@pytest.fixture
def readable(monkeypatch):
    """A VAE of seven clips of 4, 8, ... frames whose tokens are the numbers of the clips, and which decodes nothing."""
    label = torch.tensor([kind[0] - 1 for kind in KINDS])
    mels = [torch.full((N_MELS, 4 * (1 + number)), -40.0) for number in range(len(KINDS))]
    factors = torch.tensor([[emotion, 1, speaker, 1, text] for emotion, speaker, text in KINDS])
    clips = clips_from_mels(mels, label)
    generator = fit("vae", part(clips=clips, factors=factors, embeddings=embeddings_of(label)), frames=28)
    generator.mixtures.tokens[:] = torch.arange(len(KINDS)).repeat_interleave(generator.mixtures.length)[:, None]
    monkeypatch.setattr(generator.autoencoder, "decode", lambda tokens, _: tokens.mT.repeat_interleave(4, 2))
    return generator


def pairs(generator, label):
    """(first clip, second clip) of COUNT mixtures: the first is seen at distance 0, the second at distance 1."""
    first, second = (mixture(generator, distance, label=label) for distance in (0.0, 1.0))
    assert [mel.shape for mel in first] == [mel.shape for mel in second]  # the length is that of the first
    return [(int(one[0, 0]), int(other[0, 0])) for one, other in zip(first, second, strict=True)]


def test_partners_share_the_emotion_and_where_possible_the_sentence_and_not_the_speaker(readable):
    """Clip 1 has no other speaker with its sentence and clip 3 neither: any other speaker takes part."""
    assert set(pairs(readable, LOWER)) == {
        *((0, other) for other in (2, 6)),
        *((1, other) for other in (2, 3, 6)),
        *((2, other) for other in (0, 6)),
        *((3, other) for other in (0, 1, 6)),
        *((6, other) for other in (0, 2)),
    }


def test_where_one_speaker_has_all_clips_they_are_mixed_with_each_other(readable):
    assert set(pairs(readable, UPPER)) == {(4, 4), (4, 5), (5, 4), (5, 5)}


def test_the_first_clip_is_any_of_the_emotion(readable):
    drawn = torch.tensor([first for first, _ in pairs(readable, LOWER)]).bincount(minlength=7)
    assert drawn[[4, 5]].sum() == 0
    assert drawn[[0, 1, 2, 3, 6]].min() > 0.6 * COUNT / 5


def test_mixtures_lie_evenly_between_the_two_clips(readable):
    first, second, mixed = (mixture(readable, *between) for between in ((0.0,), (1.0,), (0.2, 0.6)))
    shares = torch.tensor(
        [
            float((between[0, 0] - one[0, 0]) / (other[0, 0] - one[0, 0]))
            for one, other, between in zip(first, second, mixed, strict=True)
        ]
    )
    assert 0.2 <= shares.min() < 0.25 and 0.55 < shares.max() <= 0.6
    assert float(shares.mean()) == pytest.approx(0.4, abs=0.02)
    assert all((mel == mel[0, 0]).all() for mel in mixed)  # one share for the whole clip


def test_the_second_clip_is_brought_to_the_length_of_the_first(readable):
    """As a whole, not cut: its tokens rise from the number of the clip by a half."""
    start = readable.mixtures.length.cumsum(0) - readable.mixtures.length
    for clip, length in enumerate(readable.mixtures.length.tolist()):
        readable.mixtures.tokens[start[clip] :][:length] = torch.linspace(clip, clip + 0.5, length)[:, None].half()
    for one, other in zip(mixture(readable, 0.0), mixture(readable, 1.0), strict=True):
        assert one.shape == other.shape
        clip, length = int(other[0, 0]), other.shape[1] // 4
        assert (other[0].diff() >= 0).all() and int(other[0, -1]) == clip
        if clip and length > 1:  # clip 0 has one token
            assert float(other[0, -1] - other[0, 0]) > 0.2


def test_samples_end_where_the_first_clip_ends(generator):
    lengths = {min(length, LONGEST) for length in CLIPS.length[CLIPS.labels == LOWER].tolist()}
    assert {mel.shape[1] for mel in mixture(generator, 0.3, 0.7)} == lengths


def test_the_state_has_everything(generator):
    restored = vae.VAE.restore(generator.state_dict(), generator.config)
    for mel, again in zip(sample(generator), sample(restored), strict=True):
        assert torch.equal(mel, again)
    assert torch.equal(restored.mixtures.conditions.codes, FACTORS)


def test_a_range_that_ends_before_it_begins_is_refused():
    with pytest.raises(InputError, match="key `sample.farthest`: Value error, must not be less than `nearest`, found"):
        check({"count": 1, "nearest": 0.5, "farthest": 0.4}, VAESampleConfig, "sample")
