import numpy as np
import pytest
import torch

from ser.data import mel_store
from ser.data.clips import Clips, Normaliser, clips_from_mels, load_clips, trimmed
from tests.helpers.constants import EMOTIONS

LENGTHS = [7, 1, 12, 5, 20]
SIZE = 8


@pytest.fixture
def spectra():
    """Mels [3, frames] of five clips."""
    rng = np.random.default_rng(0)
    return [rng.uniform(-79, 0, (length, 3)).astype(np.float16).T for length in LENGTHS]


@pytest.fixture
def clips(spectra, tmp_path):
    mel_store.write(tmp_path / "mels", [({"clip": f"c{number}"}, mel) for number, mel in enumerate(spectra)])
    names = [f"c{number}" for number in range(len(LENGTHS))]
    emotion_of = {name: EMOTIONS[number % 3] for number, name in enumerate(names)}
    return load_clips(mel_store.read(tmp_path / "mels"), names, emotion_of, EMOTIONS, "cpu")


def naive_crop(mel, size, position):
    offset = round(float(np.float32(position) * np.float32(mel.shape[1] - size)))
    crop = np.full((len(mel), size), -80, np.float32)
    for time in range(size):
        if 0 <= offset + time < mel.shape[1]:
            crop[:, time] = mel[:, offset + time]
    return crop


def naive_crops(spectra, clip_index, size, positions):
    crops = [naive_crop(spectra[number], size, at) for number, at in zip(clip_index, positions, strict=True)]
    return np.array(crops)[:, None]


@pytest.mark.parametrize("size", [1, 5, 8, 13, 30])
def test_crops_are_those_of_a_naive_loop(clips, spectra, size):
    clip_index = torch.randint(len(LENGTHS), (64,), generator=torch.Generator().manual_seed(0))
    position = torch.rand(64, generator=torch.Generator().manual_seed(1))
    position[:4] = torch.tensor([0, 1, 0.5, 0.5])
    crops = clips.crops(clip_index, size, position)
    assert crops.dtype == torch.float32
    assert crops.shape == (64, 1, 3, size)
    np.testing.assert_array_equal(crops, naive_crops(spectra, clip_index, size, position))


def test_the_centre(clips, spectra):
    crops = clips.crops(torch.arange(5), SIZE, 0.5)
    np.testing.assert_array_equal(crops, naive_crops(spectra, range(5), SIZE, [0.5] * 5))
    np.testing.assert_array_equal(crops[2, 0], spectra[2][:, 2:10])
    np.testing.assert_array_equal(crops[4, 0], spectra[4][:, 6:14])


def test_a_short_clip_is_placed_whole_in_silence(clips, spectra):
    for position in (0.0, 0.3, 0.5, 1.0):
        crop = clips.crops(torch.tensor([3]), SIZE, position)[0, 0].numpy()
        inside = (crop > -80).all(axis=0)
        np.testing.assert_array_equal(crop[:, inside], spectra[3])
        assert (crop[:, ~inside] == -80).all()
        assert np.diff(np.flatnonzero(inside)).max() == 1
    assert (clips.crops(torch.tensor([3]), SIZE, 0.5)[0, 0, 0] > -80).tolist() == [False] * 2 + [True] * 5 + [False]


def test_random_crops_reach_every_position_and_differ_within_a_batch(clips, spectra):
    clip_index = torch.full((400,), 4)
    crops = clips.random_crops(clip_index, SIZE, torch.Generator().manual_seed(0))[:, 0].numpy()
    possible = [spectra[4][:, offset : offset + SIZE].astype(np.float32) for offset in range(20 - SIZE + 1)]
    offsets = [[offset for offset, crop in enumerate(possible) if (crop == drawn).all()] for drawn in crops]
    assert all(len(matches) == 1 for matches in offsets)
    assert {matches[0] for matches in offsets} == set(range(len(possible)))


@pytest.mark.parametrize(
    ("length", "starts"), [(7, [0]), (20, [0]), (23, [0, 3]), (60, [0, 20, 40]), (61, [0, 14, 27, 41])]
)
def test_a_clip_is_covered_by_as_few_crops_as_possible_evenly_spread(length, starts):
    frames = torch.arange(length, dtype=torch.float16)[:, None] - 79
    both = torch.cat([frames, frames])
    clips = Clips(both, torch.tensor([0, length]), torch.tensor([length] * 2), torch.tensor([0, 0]))
    clip_index, position = clips.covering(20)
    assert clip_index.tolist() == [0] * len(starts) + [1] * len(starts)
    crops = clips.crops(clip_index, 20, position)[: len(starts), 0, 0]
    if length < 20:
        assert crops[0].tolist() == [-80] * 6 + frames[:, 0].tolist() + [-80] * 7
    else:
        assert (crops[:, 0] + 79).tolist() == starts
        assert set(crops.ravel().tolist()) == set(frames[:, 0].tolist())


def test_random_crops_are_determined_by_the_rng(clips):
    first, second, other = (
        clips.random_crops(torch.arange(5), SIZE, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_clips_keep_the_order_of_the_names(toy, mels):
    names = [toy.folds[0].train[number] for number in (7, 2, 5)]
    clips = toy.clips(names, "cpu")
    assert len(clips) == 3
    assert [EMOTIONS[label] for label in clips.labels] == [toy.emotion_of[name] for name in names]
    assert torch.equal(clips.labels, toy.labels(names))
    assert clips.length.tolist() == [mels[name].shape[1] for name in names]
    for number, name in enumerate(names):
        crop = clips.crops(torch.tensor([number]), mels[name].shape[1], 0.5)[0, 0]
        np.testing.assert_array_equal(crop, mels[name].astype(np.float16))


def test_statistics_are_those_of_exactly_the_given_clips(toy, mels):
    names = toy.folds[0].train
    frames = np.concatenate([mels[name] for name in names], axis=1).astype(np.float16).astype(np.float64)
    normaliser = toy.clips(names, "cpu").normaliser()
    np.testing.assert_allclose(normaliser.mean, frames.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(normaliser.std, frames.std(axis=1, ddof=1), rtol=1e-4)


def test_normalised_clips_have_zero_mean_and_unit_variance_in_every_band(clips):
    spectrum = clips.normaliser()(clips.frames.float().T)
    np.testing.assert_allclose(spectrum.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(spectrum.std(1), 1, atol=1e-5)


def test_a_band_that_never_changes_stays_finite(clips):
    clips.frames[:, 1] = -80
    assert torch.isfinite(clips.normaliser()(clips.crops(torch.arange(5), SIZE, 0.5))).all()


def test_the_way_back_to_decibels(clips):
    normaliser = clips.normaliser()
    crops = clips.crops(torch.arange(5), SIZE, 0.5)
    torch.testing.assert_close(normaliser.to_db(normaliser(crops)), crops, atol=1e-4, rtol=0)
    beyond = normaliser.to_db(torch.tensor([[[-99.0], [0], [99]]]))
    assert beyond[0, 0] == -80 and beyond[0, 2] == 0
    assert beyond[0, 1] == normaliser.mean[1]


def test_the_statistics_are_buffers(clips):
    state = clips.normaliser().state_dict()
    assert list(state) == ["mean", "std"]
    blank = Normaliser.blank(3)
    mels = clips.crops(torch.arange(5), SIZE, 0.5)
    assert torch.equal(blank(mels), mels) and blank.n_mels == 3
    blank.load_state_dict(state)
    assert torch.equal(blank(mels), clips.normaliser()(mels))


def test_clips_may_be_followed_by_others(clips, toy):
    other = toy.clips(toy.folds[0].test[:2], "cpu")
    other = Clips(other.frames[:, :3], other.start, other.length, other.labels)
    both = clips.followed_by(other)
    assert len(both) == 7
    assert torch.equal(both.crops(torch.arange(5), SIZE, 0.2), clips.crops(torch.arange(5), SIZE, 0.2))
    assert torch.equal(both.crops(torch.arange(5, 7), SIZE, 0.2), other.crops(torch.arange(2), SIZE, 0.2))
    assert both.labels.tolist() == clips.labels.tolist() + other.labels.tolist()


def test_a_subset_has_the_clips_of_the_numbers_in_their_order(clips):
    subset = clips.subset(torch.tensor([4, 0]))
    assert subset.length.tolist() == [20, 7]
    assert subset.labels.tolist() == clips.labels[[4, 0]].tolist()
    assert torch.equal(subset.crops(torch.arange(2), SIZE, 0.2), clips.crops(torch.tensor([4, 0]), SIZE, 0.2))


def test_mels_of_any_length_become_one_clip_each(spectra):
    mels = [torch.from_numpy(spectrum).float() for spectrum in spectra]
    clips = clips_from_mels(mels, torch.tensor([1, 0, 2, 2, 1]))
    assert clips.frames.dtype == torch.float16
    assert clips.length.tolist() == LENGTHS
    assert clips.start.tolist() == [0, *np.cumsum(LENGTHS)[:-1]]
    assert clips.labels.tolist() == [1, 0, 2, 2, 1]
    np.testing.assert_array_equal(clips.frames, np.concatenate(spectra, axis=1).T)
    for number, (mel, length) in enumerate(zip(mels, LENGTHS)):
        assert torch.equal(clips.crops(torch.tensor([number]), length, 0.5)[0, 0], mel)


@pytest.mark.parametrize("size", [1, 5, 8, 30])
def test_left_aligned_clips_begin_at_their_first_frame_and_end_in_silence(clips, spectra, size):
    clip_index = torch.tensor([4, 1, 1, 0])
    mels = clips.left_aligned(clip_index, size)
    assert mels.dtype == torch.float32
    expected = np.full((4, 3, size), -80, np.float32)
    for row, number in zip(expected, clip_index):
        part = spectra[number][:, :size]
        row[:, : part.shape[1]] = part
    np.testing.assert_array_equal(mels, expected)


@pytest.mark.parametrize(
    ("longest", "count"), [(1, [7, 1, 12, 5, 20]), (5, [2, 1, 3, 1, 4]), (7, [1, 1, 2, 1, 3]), (20, [1] * 5)]
)
def test_pieces_are_few_of_about_the_same_length_and_together_are_the_clips(clips, spectra, longest, count):
    clip_index, pieces = clips.pieces(longest)
    assert clip_index.tolist() == np.repeat(np.arange(5), count).tolist()
    assert all(piece.dtype == torch.float32 and piece.shape[1] <= longest for piece in pieces)
    for number, spectrum in enumerate(spectra):
        own = [piece for piece, clip in zip(pieces, clip_index, strict=True) if clip == number]
        lengths = [piece.shape[1] for piece in own]
        assert max(lengths) - min(lengths) <= 1
        np.testing.assert_array_equal(torch.cat(own, dim=1), spectrum)


def naive_trimmed(mel, trim_db):
    mel = np.maximum(mel - mel.max(), -80)
    level = [10 * np.log10(sum(10 ** (value / 10) for value in frame)) for frame in mel.T]
    first, last = 0, len(level) - 1
    while level[first] < max(level) - trim_db:
        first += 1
    while level[last] < max(level) - trim_db:
        last -= 1
    return mel[:, first : last + 1]


@pytest.mark.parametrize("trim_db", [3.0, 10.0, 30.0, 200.0])
def test_quiet_ends_are_cut_and_the_peak_is_at_0_db(trim_db):
    rng = np.random.default_rng(0)
    loudness = np.concatenate([np.linspace(-70, -20, 12), [-60] * 4, np.linspace(-25, -75, 9)])
    mel = (loudness + rng.normal(0, 2, (5, len(loudness)))).astype(np.float32)
    result = trimmed(torch.from_numpy(mel), trim_db)
    np.testing.assert_array_equal(result, naive_trimmed(mel, trim_db))
    assert result.max() == 0 and result.min() >= -80
    assert result.shape[1] == len(loudness) or trim_db < 200
    if trim_db == 30:
        assert (result.mean(0) < -35).any()  # a pause stays


def test_without_trimming_the_peak_is_moved_to_0_db_all_the_same():
    mel = torch.tensor([[-79.0, -30.0, -12.0, -80.0]])
    assert trimmed(mel, None).tolist() == [[-67, -18, 0, -68]]
    assert trimmed(mel - 1, None).tolist() == [[-67, -18, 0, -68]]


def test_a_frame_may_be_loud_in_one_band_or_in_many():
    """Loudness is the power over all bands: four bands at -6 dB are as loud as one at 0 dB."""
    quiet_in_many, loud_in_one = torch.full((4, 1), -6.1), torch.tensor([[0.0], [-80], [-80], [-80]])
    mel = torch.cat([quiet_in_many, loud_in_one], dim=1)
    assert trimmed(mel, 0.2).shape[1] == 2
    assert trimmed(mel, 0.01).shape[1] == 1


def test_the_silence_of_a_normaliser_is_that_of_the_mel_store(clips):
    normaliser = clips.normaliser()
    assert torch.equal(normaliser.silence(), normaliser(torch.full((3, 7), -80.0))[:, :1])
    assert torch.equal(normaliser.to_db(normaliser.silence()), torch.full((3, 1), -80.0))
