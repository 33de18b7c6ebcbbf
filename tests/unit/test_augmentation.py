import pytest
import torch

from ser.training.augmentation import Masking, mask

BATCH, N_MELS, FRAMES = 400, 80, 100
NOTHING = dict.fromkeys(["voice", "tempo", "time", "frequency", "shift", "noise", "scale"], 0.0) | {"probability": 1.0}
EVERYTHING = {
    "probability": 1.0,
    "voice": 0.15,
    "tempo": 0.15,
    "time": 0.1,
    "frequency": 0.15,
    "shift": 0.1,
    "noise": 0.01,
    "scale": 0.1,
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def masked(mels, seed=0, **change):
    settings = Masking(**NOTHING | change)
    return mask(mels, mels.shape[3], settings, generator(seed))


def ones(frames=FRAMES):
    return torch.ones(BATCH, 1, N_MELS, frames)


def runs(hidden):
    """The number of unbroken runs of True in each row."""
    starts = hidden & ~torch.nn.functional.pad(hidden, (1, 0))[:, :-1]
    return starts.sum(1)


def test_nothing_asked_for_changes_nothing():
    mels = torch.randn(8, 1, N_MELS, FRAMES, generator=generator())
    assert torch.equal(masked(mels), mels)


@pytest.mark.parametrize(
    ("knob", "share", "axis", "other", "size"),
    [("time", 0.1, 2, 3, FRAMES), ("frequency", 0.15, 3, 2, N_MELS)],
)
def test_one_band_of_an_axis_is_hidden(knob, share, axis, other, size):
    hidden = masked(ones(), **{knob: share}) == 0
    assert torch.equal(hidden.all(axis), hidden.any(axis))  # from edge to edge of the other axis
    band = hidden.any(axis)[:, 0]
    assert (runs(band) <= 1).all()
    width = band.sum(1)
    assert width.max() == round(share * size)
    assert width.min() == 0
    assert 0.4 < width.double().mean() / (share * size) < 0.6


@pytest.mark.parametrize(("knob", "share", "frames"), [("time", 0.1, 128), ("frequency", 0.12, 100)])
def test_no_more_than_the_share_is_hidden(knob, share, frames):
    hidden = masked(ones(frames), **{knob: share}) == 0
    assert hidden.double().mean((1, 2, 3)).max() <= share


def test_every_frame_and_every_band_is_hidden_by_some_clip():
    hidden = masked(ones(), time=0.1, frequency=0.15) == 0
    assert hidden.all(2).any(0).all()
    assert hidden.all(3).any(0).all()


def test_the_whole_axis_may_be_hidden():
    assert (masked(ones(), time=1.0) == 0).flatten(1).all(1).any()


def test_shifts_are_circular_and_stay_within_their_share():
    mels = torch.arange(FRAMES, dtype=torch.float32).expand(BATCH, 1, N_MELS, FRAMES)
    shifted = masked(mels, shift=0.1)
    first = shifted[:, 0, 0, 0].long()
    shift = torch.where(first > FRAMES / 2, FRAMES - first, -first)
    assert shift.min() == -10 and shift.max() == 10
    for number in range(BATCH):
        assert torch.equal(shifted[number], mels[number].roll(int(shift[number]), -1))


def ramps(axis, frames):
    """Mels that say along one axis where they are, in 0..1, from -0.5 to 0.5 around its middle."""
    ramp = (torch.arange((N_MELS, frames)[axis - 2]) + 0.5) / (N_MELS, frames)[axis - 2]
    return ramp.view(*((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1))).expand(BATCH, 1, N_MELS, frames)


def test_voices_stretch_the_mel_axis_from_the_lowest_band_up():
    changed = masked(ramps(2, FRAMES), voice=0.2)
    factor = changed[:, 0, 20, 0] / ramps(2, FRAMES)[:, 0, 20, 0]
    assert factor.min() < 0.87 and factor.max() > 1.2  # 1 / 1.2 to 1 / 0.8
    torch.testing.assert_close(changed[:, 0, 5:60, 0], ramps(2, FRAMES)[:, 0, 5:60, 0] * factor[:, None])
    torch.testing.assert_close(changed[:, :, :, :1].expand_as(changed), changed)


def test_tempos_change_speed_around_the_centre_and_need_longer_crops():
    settings = Masking(**NOTHING | {"tempo": 0.2})
    assert settings.reach(FRAMES) == 120
    changed = mask(ramps(3, 120), FRAMES, settings, generator())
    assert changed.shape == (BATCH, 1, N_MELS, FRAMES)
    speed = (changed[:, 0, 0, -1] - changed[:, 0, 0, 0]) * 120 / (FRAMES - 1)
    assert 0.79 < speed.min() < 0.82 and 1.18 < speed.max() < 1.21
    torch.testing.assert_close(changed.mean((1, 2, 3)), torch.full((BATCH,), 0.5))
    left_alone = mask(ramps(3, 120), FRAMES, settings.model_copy(update={"probability": 0.0}), generator())
    assert torch.equal(left_alone, ramps(3, 120)[:, :, :, 10:110])
    assert settings.model_copy(update={"probability": 0.0}).reach(FRAMES) == FRAMES


def test_noise_has_the_standard_deviation_asked_for():
    noise = masked(ones(), noise=0.01) - 1
    assert abs(noise.mean()) < 1e-4
    assert abs(noise.std() - 0.01) < 1e-4
    assert noise.flatten(1).std(1).sub(0.01).abs().max() < 1e-3
    assert not torch.equal(noise[0], noise[1])


def test_amplitudes_change_by_one_factor_a_clip():
    mels = torch.randn(BATCH, 1, 4, 5, generator=generator())
    factor = masked(mels, scale=0.1) / mels
    assert factor.flatten(1).std(1).max() < 1e-5
    factor = factor[:, 0, 0, 0]
    assert 0.9 <= factor.min() < 0.91
    assert 1.09 < factor.max() <= 1.1 + 1e-6
    assert abs(factor.mean() - 1) < 0.01


def test_every_clip_of_a_batch_is_drawn_for_itself():
    changed = masked(ones(), **EVERYTHING)
    assert len({clip.numpy().tobytes() for clip in changed}) == BATCH
    for knob in ("time", "frequency", "shift", "scale"):
        mels = torch.arange(FRAMES, dtype=torch.float32).add(1).expand(BATCH, 1, N_MELS, FRAMES)
        assert len({clip.numpy().tobytes() for clip in masked(mels, **{knob: 0.5})}) > 20, knob


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.7, 1.0])
def test_whole_batches_are_left_alone_at_the_stated_rate(probability):
    draws, mels = generator(), torch.ones(2, 1, 4, 5)
    settings = Masking(**EVERYTHING | {"probability": probability})
    untouched = sum(torch.equal(mask(mels, 5, settings, draws), mels) for _ in range(500)) / 500
    assert abs(untouched - (1 - probability)) < (0.06 if 0 < probability < 1 else 1e-9)


def test_draws_are_determined_by_the_generator():
    mels = torch.randn(8, 1, N_MELS, FRAMES, generator=generator())
    assert torch.equal(masked(mels, **EVERYTHING), masked(mels, **EVERYTHING))
    assert not torch.equal(masked(mels, **EVERYTHING), masked(mels, seed=1, **EVERYTHING))


@pytest.mark.parametrize("shape", [(1, 1, 80, 128), (3, 1, 8, 5)])
def test_shape_and_type_are_kept_and_the_input_is_left_alone(shape):
    mels = torch.randn(shape, generator=generator())
    before = mels.clone()
    changed = masked(mels, **EVERYTHING)
    assert changed.shape == mels.shape
    assert changed.dtype == torch.float32
    assert torch.equal(mels, before)
