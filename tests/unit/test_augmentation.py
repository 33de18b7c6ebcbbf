import pytest
import torch

from ser.core import params
from ser.core.rng import make_rng
from ser.training.augmentation import AugmentationConfig, augment
from tests.helpers.project import ROOT

BATCH, N_MELS, FRAMES = 400, 80, 100
KNOBS = {
    "vtlp": 0.15,
    "time_stretch": 0.15,
    "time_mask": 0.1,
    "frequency_mask": 0.15,
    "shift": 0.1,
    "noise": 0.01,
    "scale": 0.1,
}
COMMITTED = params.load(ROOT / "params.yaml")


def augmented(mels, seed=0, **knobs):
    """`mels` under a policy with these knobs, as long as they were."""
    return augment(mels, mels.shape[3], AugmentationConfig(**knobs), make_rng(seed))


def ones(frames=FRAMES):
    return torch.ones(BATCH, 1, N_MELS, frames)


def runs(masked):
    """The number of unbroken runs of True in each row."""
    starts = masked & ~torch.nn.functional.pad(masked, (1, 0))[:, :-1]
    return starts.sum(1)


def test_a_policy_without_knobs_changes_nothing():
    assert AugmentationConfig().model_dump() == {"probability": 1.0, **dict.fromkeys(KNOBS, 0.0)}
    mels = torch.randn(8, 1, N_MELS, FRAMES, generator=make_rng(0))
    assert torch.equal(augmented(mels), mels)


# The policies of params.yaml


def committed_policy(arm):
    return params.check(COMMITTED["augmentation"][arm], AugmentationConfig)


def test_every_arm_on_real_clips_has_a_policy():
    assert set(COMMITTED["study"]["arms"]) <= set(COMMITTED["augmentation"])
    assert COMMITTED["study"]["build_on"] in COMMITTED["augmentation"]


@pytest.mark.parametrize("arm", COMMITTED["augmentation"])
def test_a_policy_names_no_knob_that_is_off(arm):
    policy = dict(COMMITTED["augmentation"][arm])
    knobs = set(policy) - {"probability"}
    assert all(policy[knob] > 0 for knob in knobs)
    assert bool(knobs) == (policy["probability"] > 0)


def test_masked_is_the_published_recipe():
    assert committed_policy("masked") == AugmentationConfig(
        probability=0.7,
        vtlp=0.0,
        time_stretch=0.0,
        time_mask=0.1,
        frequency_mask=0.15,
        shift=0.1,
        noise=0.01,
        scale=0.1,
    )


def test_masked_masks_as_published():
    """70 % of the batches are augmented: up to 10 % of the frames and 15 % of the bands are masked."""
    policy, rng = committed_policy("masked"), make_rng(0)
    ramp = 2 + torch.arange(FRAMES) / FRAMES  # a shift shows as a jump
    mels = ramp.expand(5, 1, N_MELS, FRAMES)
    batches = [augment(mels, FRAMES, policy, rng) for _ in range(300)]
    changed = [batch for batch in batches if not torch.equal(batch, mels)]
    assert 0.64 < len(changed) / len(batches) < 0.76
    clips = torch.cat(changed)[:, 0]
    masked = clips == 0
    frames, bands = masked.all(1), masked.all(2)
    assert torch.equal(masked, frames[:, None] | bands[:, :, None])
    assert (runs(frames) <= 1).all() and (runs(bands) <= 1).all()
    assert (frames.sum(1).min(), frames.sum(1).max()) == (0, 10)
    assert (bands.sum(1).min(), bands.sum(1).max()) == (0, 12)
    shift, scale = shift_and_scale(torch.where(masked, torch.nan, clips).nanmean(1), ramp)
    assert (shift.min(), shift.max()) == (-10, 10)
    assert 0.899 < scale.min() < 0.91 and 1.09 < scale.max() < 1.101


def shift_and_scale(rows, ramp):
    """The circular shift and the factor, [rows] each, that explain best how `ramp` became each row.

    Masked frames of the rows are NaN.
    """
    shifts = torch.arange(-20, 21)
    candidates = torch.stack([ramp.roll(int(shift)) for shift in shifts])
    factors = (rows[:, None] / candidates).nanmean(2)
    best = (rows[:, None] - factors[:, :, None] * candidates).square().nansum(2).argmin(1)
    return shifts[best], factors[torch.arange(len(rows)), best]


def test_augmented_stretches_and_masks_nothing():
    policy = committed_policy("augmented")
    assert policy.probability == 1.0
    assert policy.vtlp > 0 and policy.time_stretch > 0
    changed = augment(ones(policy.source_frames(FRAMES)), FRAMES, policy, make_rng(0))
    torch.testing.assert_close(changed, ones())


def test_baseline_changes_nothing():
    policy, mels = committed_policy("baseline"), ones()
    assert policy.source_frames(FRAMES) == FRAMES
    assert torch.equal(augment(mels, FRAMES, policy, make_rng(0)), mels)


# Each knob


@pytest.mark.parametrize(
    ("knob", "share", "axis", "size"),
    [("time_mask", 0.1, 2, FRAMES), ("frequency_mask", 0.15, 3, N_MELS)],
)
def test_one_band_of_an_axis_is_masked(knob, share, axis, size):
    masked = augmented(ones(), **{knob: share}) == 0
    assert torch.equal(masked.all(axis), masked.any(axis))  # from edge to edge of the other axis
    band = masked.any(axis)[:, 0]
    assert (runs(band) <= 1).all()
    width = band.sum(1)
    assert width.max() == round(share * size)
    assert width.min() == 0
    assert 0.4 < width.double().mean() / (share * size) < 0.6


@pytest.mark.parametrize(("knob", "share", "frames"), [("time_mask", 0.1, 128), ("frequency_mask", 0.12, 100)])
def test_no_more_than_the_share_is_masked(knob, share, frames):
    masked = augmented(ones(frames), **{knob: share}) == 0
    assert masked.double().mean((1, 2, 3)).max() <= share


def test_every_frame_and_every_band_is_masked_in_some_clip():
    masked = augmented(ones(), time_mask=0.1, frequency_mask=0.15) == 0
    assert masked.all(2).any(0).all()
    assert masked.all(3).any(0).all()


def test_the_whole_axis_may_be_masked():
    assert (augmented(ones(), time_mask=1.0) == 0).flatten(1).all(1).any()


def test_shifts_are_circular_and_stay_within_their_share():
    mels = torch.arange(FRAMES, dtype=torch.float32).expand(BATCH, 1, N_MELS, FRAMES)
    shifted = augmented(mels, shift=0.1)
    first = shifted[:, 0, 0, 0].long()
    shift = torch.where(first > FRAMES / 2, FRAMES - first, -first)
    assert shift.min() == -10 and shift.max() == 10
    for number in range(BATCH):
        assert torch.equal(shifted[number], mels[number].roll(int(shift[number]), -1))


def ramps(axis, frames):
    """Mels that rise from 0 to 1 along one axis, from cell centre to cell centre."""
    ramp = (torch.arange((N_MELS, frames)[axis - 2]) + 0.5) / (N_MELS, frames)[axis - 2]
    return ramp.view(*((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1))).expand(BATCH, 1, N_MELS, frames)


def test_vtlp_stretches_the_mel_axis_from_the_lowest_band_up():
    changed = augmented(ramps(2, FRAMES), vtlp=0.2)
    factor = changed[:, 0, 20, 0] / ramps(2, FRAMES)[:, 0, 20, 0]
    assert factor.min() < 0.87 and factor.max() > 1.2  # 1 / 1.2 to 1 / 0.8
    torch.testing.assert_close(changed[:, 0, 5:60, 0], ramps(2, FRAMES)[:, 0, 5:60, 0] * factor[:, None])
    torch.testing.assert_close(changed[:, :, :, :1].expand_as(changed), changed)


def test_time_stretching_changes_the_speed_around_the_centre_and_needs_longer_crops():
    config = AugmentationConfig(time_stretch=0.2)
    assert config.source_frames(FRAMES) == 120
    changed = augment(ramps(3, 120), FRAMES, config, make_rng(0))
    assert changed.shape == (BATCH, 1, N_MELS, FRAMES)
    speed = (changed[:, 0, 0, -1] - changed[:, 0, 0, 0]) * 120 / (FRAMES - 1)
    assert 0.79 < speed.min() < 0.82 and 1.18 < speed.max() < 1.21
    torch.testing.assert_close(changed.mean((1, 2, 3)), torch.full((BATCH,), 0.5))
    off = config.model_copy(update={"probability": 0.0})
    assert torch.equal(augment(ramps(3, 120), FRAMES, off, make_rng(0)), ramps(3, 120)[:, :, :, 10:110])
    assert off.source_frames(FRAMES) == FRAMES


def test_noise_has_the_configured_standard_deviation():
    noise = augmented(ones(), noise=0.01) - 1
    assert abs(noise.mean()) < 1e-4
    assert abs(noise.std() - 0.01) < 1e-4
    assert noise.flatten(1).std(1).sub(0.01).abs().max() < 1e-3
    assert not torch.equal(noise[0], noise[1])


def test_amplitudes_change_by_one_factor_per_clip():
    mels = torch.randn(BATCH, 1, 4, 5, generator=make_rng(0))
    factor = augmented(mels, scale=0.1) / mels
    assert factor.flatten(1).std(1).max() < 1e-5
    factor = factor[:, 0, 0, 0]
    assert 0.9 <= factor.min() < 0.91
    assert 1.09 < factor.max() <= 1.1 + 1e-6
    assert abs(factor.mean() - 1) < 0.01


def test_every_clip_of_a_batch_is_augmented_differently():
    changed = augmented(ones(), **KNOBS)
    assert len({clip.numpy().tobytes() for clip in changed}) == BATCH
    for knob in ("time_mask", "frequency_mask", "shift", "scale"):
        mels = torch.arange(FRAMES, dtype=torch.float32).add(1).expand(BATCH, 1, N_MELS, FRAMES)
        assert len({clip.numpy().tobytes() for clip in augmented(mels, **{knob: 0.5})}) > 20, knob


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.7, 1.0])
def test_whole_batches_are_left_unchanged_at_the_configured_rate(probability):
    rng, mels = make_rng(0), torch.ones(2, 1, 4, 5)
    config = AugmentationConfig(**KNOBS, probability=probability)
    unchanged = sum(torch.equal(augment(mels, 5, config, rng), mels) for _ in range(500)) / 500
    assert abs(unchanged - (1 - probability)) < (0.06 if 0 < probability < 1 else 1e-9)


def test_draws_are_determined_by_the_rng():
    mels = torch.randn(8, 1, N_MELS, FRAMES, generator=make_rng(0))
    assert torch.equal(augmented(mels, **KNOBS), augmented(mels, **KNOBS))
    assert not torch.equal(augmented(mels, **KNOBS), augmented(mels, seed=1, **KNOBS))


@pytest.mark.parametrize("shape", [(1, 1, 80, 128), (3, 1, 8, 5)])
def test_shape_and_type_are_kept_and_the_input_is_not_modified(shape):
    mels = torch.randn(shape, generator=make_rng(0))
    before = mels.clone()
    changed = augmented(mels, **KNOBS)
    assert changed.shape == mels.shape
    assert changed.dtype == torch.float32
    assert torch.equal(mels, before)
