import numpy as np
import pytest
import torch

from ser.data import mel_store
from ser.data.clips import Clips, load_clips
from tests.conftest import EMOTIONS

LENGTHS = [7, 1, 12, 5, 20]
SIZE = 8


@pytest.fixture
def spectra():
    rng = np.random.default_rng(0)
    return [rng.uniform(-79, 0, (length, 3)).astype(np.float16) for length in LENGTHS]


@pytest.fixture
def clips(spectra, tmp_path):
    mel_store.write(tmp_path / "mels", [({"clip": f"c{number}"}, frames) for number, frames in enumerate(spectra)])
    names = [f"c{number}" for number in range(len(LENGTHS))]
    emotion = {name: EMOTIONS[number % 3] for number, name in enumerate(names)}
    return load_clips(mel_store.read(tmp_path / "mels"), names, emotion, EMOTIONS, "cpu")


def naive_crop(frames, size, position):
    offset = round(float(np.float32(position) * np.float32(len(frames) - size)))
    crop = np.full((frames.shape[1], size), -80, np.float32)
    for time in range(size):
        if 0 <= offset + time < len(frames):
            crop[:, time] = frames[offset + time]
    return crop


def naive_crops(spectra, which, size, positions):
    crops = [naive_crop(spectra[number], size, at) for number, at in zip(which, positions, strict=True)]
    return np.array(crops)[:, None]


@pytest.mark.parametrize("size", [1, 5, 8, 13, 30])
def test_crops_are_those_of_a_naive_loop(clips, spectra, size):
    which = torch.randint(len(LENGTHS), (64,), generator=torch.Generator().manual_seed(0))
    position = torch.rand(64, generator=torch.Generator().manual_seed(1))
    position[:4] = torch.tensor([0, 1, 0.5, 0.5])
    crops = clips.crops(which, size, position)
    assert crops.dtype == torch.float32
    assert crops.shape == (64, 1, 3, size)
    np.testing.assert_array_equal(crops, naive_crops(spectra, which, size, position))


def test_the_centre(clips, spectra):
    crops = clips.crops(torch.arange(5), SIZE, 0.5)
    np.testing.assert_array_equal(crops, naive_crops(spectra, range(5), SIZE, [0.5] * 5))
    np.testing.assert_array_equal(crops[2, 0], spectra[2][2:10].T)
    np.testing.assert_array_equal(crops[4, 0], spectra[4][6:14].T)


def test_a_short_clip_is_placed_whole_in_silence(clips, spectra):
    for position in (0.0, 0.3, 0.5, 1.0):
        crop = clips.crops(torch.tensor([3]), SIZE, position)[0, 0].T.numpy()
        inside = (crop > -80).all(axis=1)
        np.testing.assert_array_equal(crop[inside], spectra[3])
        assert (crop[~inside] == -80).all()
        assert np.diff(np.flatnonzero(inside)).max() == 1
    assert (clips.crops(torch.tensor([3]), SIZE, 0.5)[0, 0, 0] > -80).tolist() == [False] * 2 + [True] * 5 + [False]


def test_random_crops_reach_every_place_and_differ_within_a_batch(clips, spectra):
    which = torch.full((400,), 4)
    crops = clips.random_crops(which, SIZE, torch.Generator().manual_seed(0))[:, 0].mT.numpy()
    possible = [spectra[4][offset : offset + SIZE].astype(np.float32) for offset in range(20 - SIZE + 1)]
    found = [[number for number, crop in enumerate(possible) if (crop == drawn).all()] for drawn in crops]
    assert all(len(match) == 1 for match in found)
    assert {match[0] for match in found} == set(range(len(possible)))


@pytest.mark.parametrize(
    ("length", "starts"), [(7, [0]), (20, [0]), (23, [0, 3]), (60, [0, 20, 40]), (61, [0, 14, 27, 41])]
)
def test_a_clip_is_covered_by_as_few_crops_as_do_evenly_spread(length, starts):
    frames = torch.arange(length, dtype=torch.float16)[:, None] - 79
    both = torch.cat([frames, frames])
    clips = Clips(both, torch.tensor([0, length]), torch.tensor([length] * 2), torch.tensor([0, 0]))
    which, position = clips.covering(20)
    assert which.tolist() == [0] * len(starts) + [1] * len(starts)
    crops = clips.crops(which, 20, position)[: len(starts), 0, 0]
    if length < 20:
        assert crops[0].tolist() == [-80] * 6 + frames[:, 0].tolist() + [-80] * 7
    else:
        assert (crops[:, 0] + 79).tolist() == starts
        assert set(crops.ravel().tolist()) == set(frames[:, 0].tolist())


def test_random_crops_are_determined_by_the_generator(clips):
    first, second, other = (
        clips.random_crops(torch.arange(5), SIZE, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_clips_keep_the_order_and_the_emotions_asked_for(toy, mels):
    names = [toy.folds[0].train[number] for number in (7, 2, 5)]
    clips = toy.clips(names, "cpu")
    assert len(clips) == 3
    assert [EMOTIONS[number] for number in clips.emotion] == [toy.emotion[name] for name in names]
    assert clips.length.tolist() == [len(mels[name]) for name in names]
    for number, name in enumerate(names):
        crop = clips.crops(torch.tensor([number]), len(mels[name]), 0.5)[0, 0]
        np.testing.assert_array_equal(crop.T, mels[name].astype(np.float16))


def test_statistics_are_those_of_exactly_the_given_clips(toy, mels):
    names = toy.folds[0].train
    frames = np.concatenate([mels[name] for name in names]).astype(np.float16).astype(np.float64)
    normalise = toy.clips(names, "cpu").normaliser()
    np.testing.assert_allclose(normalise.mean, frames.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(normalise.std, frames.std(axis=0, ddof=1), rtol=1e-4)


def test_normalised_clips_have_zero_mean_and_unit_variance_in_every_band(clips):
    spectrum = clips.normaliser()(clips.frames.float().T)
    np.testing.assert_allclose(spectrum.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(spectrum.std(1), 1, atol=1e-5)


def test_a_band_that_never_changes_stays_finite(clips):
    clips.frames[:, 1] = -80
    assert torch.isfinite(clips.normaliser()(clips.crops(torch.arange(5), SIZE, 0.5))).all()


def test_the_way_back_to_decibels(clips):
    normalise = clips.normaliser()
    crops = clips.crops(torch.arange(5), SIZE, 0.5)
    torch.testing.assert_close(normalise.to_db(normalise(crops)), crops, atol=1e-4, rtol=0)
    beyond = normalise.to_db(torch.tensor([[[-99.0], [0], [99]]]))
    assert beyond[0, 0] == -80 and beyond[0, 2] == 0
    assert beyond[0, 1] == normalise.mean[1]


def test_clips_may_be_followed_by_others(clips, spectra, toy):
    other = toy.clips(toy.folds[0].test[:2], "cpu")
    other = Clips(other.frames[:, :3], other.start, other.length, other.emotion)
    both = clips.followed_by(other)
    assert len(both) == 7
    assert torch.equal(both.crops(torch.arange(5), SIZE, 0.2), clips.crops(torch.arange(5), SIZE, 0.2))
    assert torch.equal(both.crops(torch.arange(5, 7), SIZE, 0.2), other.crops(torch.arange(2), SIZE, 0.2))
    assert both.emotion.tolist() == clips.emotion.tolist() + other.emotion.tolist()
