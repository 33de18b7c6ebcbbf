"""Rectified flow over sequences: the network, how paths are followed, and trainings of a few updates."""

from dataclasses import replace

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from ser.core.errors import InputError
from ser.core.optim import LOG_POINTS, ignore
from ser.core.params import check
from ser.core.rng import make_rng
from ser.generators import conditions, flow, sequences
from ser.generators.flow import Flow, FlowConfig
from tests.helpers.toy_generators import CLIPS, FACTORS, NORMALISER, fit_config

WIDTH, SIZES = 6, (2, 2, 4, 2, 3)  # of the tokens, and of the factors
CONFIG = fit_config("diffusion")


def network(seed=0, **change):
    """A Flow whose last layers, which begin as zero, are random."""
    torch.manual_seed(seed)
    model = Flow(CONFIG.model_copy(update=change), WIDTH, SIZES).eval()
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def inputs(length=(3, 7, 5), seed=0):
    """Tokens, time, lengths, factors and numbers of clips."""
    rng, length = make_rng(seed), torch.tensor(length)
    tokens = torch.randn(len(length), int(length.max()), WIDTH, generator=rng)
    codes = torch.stack([torch.randint(1, 1 + size, (len(length),), generator=rng) for size in SIZES], dim=1)
    numbers = conditions.scaled(4 * length, 1.0, 1.0)
    return tokens, torch.rand(len(length), generator=rng), length, codes, numbers


def inside(tokens, length):
    return [row[:count] for row, count in zip(tokens, length.tolist(), strict=True)]


@torch.inference_mode()
def test_what_lies_beyond_the_end_of_a_clip_changes_nothing_inside_it():
    model = network()
    tokens, time, length, *more = inputs()
    reference = inside(model(tokens, time, length, *more), length)
    beyond = torch.arange(tokens.shape[1]) >= length[:, None]
    for noise in (100.0, -7.0):
        changed = inside(model(tokens.masked_fill(beyond[:, :, None], noise), time, length, *more), length)
        assert all(torch.equal(one, other) for one, other in zip(reference, changed))
    longer = torch.cat([tokens, torch.full((3, 4, WIDTH), 5.0)], dim=1)
    for one, other in zip(reference, inside(model(longer, time, length, *more), length)):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_clips_of_a_batch_do_not_touch_each_other():
    model = network()
    tokens, time, length, codes, numbers = inputs()
    together = inside(model(tokens, time, length, codes, numbers), length)
    for number, expected in enumerate(together):
        one = slice(number, number + 1)
        alone = model(tokens[one, : int(length[number])], time[one], length[one], codes[one], numbers[one])
        torch.testing.assert_close(alone[0], expected, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_tokens_see_their_neighbours_without_attention(monkeypatch):
    """A step where tokens meet is otherwise left to attention, which learns slowly where a token is."""
    monkeypatch.setattr(flow.F, "scaled_dot_product_attention", lambda query, key, value, mask: torch.zeros_like(value))
    model = network(layers=1)
    tokens, time, length, *more = inputs((9, 9))
    reference = model(tokens, time, length, *more)
    changed = tokens.clone()
    changed[:, 4] += 1
    differs = (model(changed, time, length, *more) != reference).any(2)
    assert differs.tolist() == 2 * [[False, True, True, True, True, True, True, True, False]]


def test_times_of_training_are_noisy_and_some_are_even():
    times = flow.draw_times(20_000, make_rng(0))
    assert times.min() > 0 and times.max() < 1
    noisy = torch.sigmoid(flow.MEAN_LOGIT + torch.randn(20_000, generator=make_rng(1)))
    for edge in (0.05, 0.2, 0.5, 0.8):
        expected = flow.EVEN * edge + (1 - flow.EVEN) * float((noisy < edge).float().mean())
        assert float((times < edge).float().mean()) == pytest.approx(expected, abs=0.015)


@torch.inference_mode()
def test_everything_that_is_given_matters():
    model = network()
    tokens, time, length, codes, numbers = inputs()
    reference = model(tokens, time, length, codes, numbers)[:, :3]
    changed = [
        (tokens.flip(1), time, length, codes, numbers),
        (tokens, time / 2, length, codes, numbers),
        (tokens, time, length - 1, codes, numbers),
        (tokens, time, length, codes, numbers + 0.5),
        *(
            (tokens, time, length, codes.masked_fill(torch.arange(5) == factor, 0), numbers)
            for factor in range(len(SIZES))
        ),
    ]
    for arguments in changed:
        assert (model(*arguments)[:, :3] - reference).abs().amax((1, 2)).min() > 1e-5


def test_an_untrained_flow_leads_from_anywhere_to_the_mean():
    """The clean tokens that it predicts are zero."""
    torch.manual_seed(0)
    tokens, time, *more = inputs()
    direction = Flow(CONFIG, WIDTH, SIZES)(tokens, time, *more)
    torch.testing.assert_close(tokens - time[:, None, None] * direction, torch.zeros_like(tokens), atol=1e-5, rtol=0)


def test_near_the_clean_end_an_error_is_divided_by_the_least_time():
    tokens, time, *more = inputs()
    directions = [network()(tokens, torch.full_like(time, each), *more) for each in (flow.LEAST_TIME, 1e-6)]
    assert all(torch.isfinite(direction).all() for direction in directions)
    assert directions[1].abs().mean() < 2 * directions[0].abs().mean()


def test_waves_tell_places_apart_and_are_bounded():
    places = torch.cat([torch.arange(300.0), torch.arange(300) + 0.5])
    vectors = flow.waves(places, 32)
    assert vectors.shape == (600, 32) and vectors.abs().max() <= 1
    distance = torch.cdist(vectors, vectors) + 9 * torch.eye(600)
    assert distance.min() > 0.1
    assert flow.waves(places.reshape(20, 30), 32).shape == (20, 30, 32)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(InputError, match="key `fit.heads`: Value error, must divide `width`, found 5"):
        check(CONFIG.model_dump() | {"heads": 5}, FlowConfig, "fit")


class Recorded:
    """Stands in for a Flow: a known `direction` of (tokens, time, codes), and every evaluation."""

    def __init__(self, direction):
        self.direction, self.times, self.codes = direction, [], []

    def __call__(self, tokens, time, length, codes, numbers):
        assert len(tokens) == len(time) == len(length) == len(codes) == len(numbers)
        self.times.append(float(time[0]))
        self.codes.append(codes)
        assert (time == time[0]).all()
        return self.direction(tokens, time[:, None, None], codes)


def follow(model, steps=4, guidance=1.0, start=1.0, tokens=None):
    own, _, length, codes, numbers = inputs()
    return flow.follow(model, own if tokens is None else tokens, length, codes, numbers, steps, guidance, "fp32", start)


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("start", [1.0, 0.4])
def test_straight_lines_are_followed_exactly_to_their_clean_end(steps, start):
    clean, noise = inputs(seed=1)[0], inputs(seed=2)[0]
    noisy = clean + start * (noise - clean)
    result = follow(Recorded(lambda tokens, time, codes: noise - clean), steps, start=start, tokens=noisy)
    torch.testing.assert_close(result, clean, atol=1e-5, rtol=0)


@pytest.mark.parametrize("steps", [1, 2, 5, 12])
@pytest.mark.parametrize("start", [1.0, 0.4])
def test_every_step_takes_two_evaluations_and_the_last_one_none_at_the_clean_end(steps, start):
    model = Recorded(lambda tokens, time, codes: tokens)
    follow(model, steps, start=start)
    levels = torch.linspace(start, 0, steps + 1).tolist()
    expected = [time for step in range(steps) for time in (levels[step], levels[step + 1])][:-1]
    assert model.times == pytest.approx(expected, abs=1e-6)
    assert model.times[0] == pytest.approx(start) and min(model.times) > 0
    assert len(model.times) == 2 * steps - 1


def test_more_steps_are_closer_to_a_curved_path_and_of_second_order():
    """Of Gaussian data with mean 0 and deviation `spread`, noise ends at `spread` times itself."""
    spread = 0.5

    def direction(tokens, time, codes):
        """The mean of noise - clean, given the noisy tokens."""
        variance = time**2 + ((1 - time) * spread) ** 2
        return tokens * (time - (1 - time) * spread**2) / variance

    noise = inputs()[0]
    errors = [
        float((follow(Recorded(direction), steps, tokens=noise) - spread * noise).abs().mean())
        for steps in (4, 8, 16, 32)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] / errors[-1] > 30  # 8 times the steps: 64 for second order, 8 for first
    assert errors[1] < 0.02


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 3.0])
def test_guidance_leads_from_no_emotion_to_the_emotion_and_beyond(guidance):
    model = Recorded(lambda tokens, time, codes: codes.float()[:, :1, None].expand_as(tokens))
    tokens, _, _, codes, _ = inputs()
    result = follow(model, guidance=guidance)
    expected = tokens - guidance * codes.float()[:, :1, None]
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


def test_without_guidance_of_its_own_a_step_takes_one_conditional_evaluation():
    model = Recorded(lambda tokens, time, codes: tokens)
    follow(model, guidance=1.0)
    codes = inputs()[3]
    assert all(torch.equal(each, codes) for each in model.codes)


def test_guidance_compares_with_the_same_clips_without_emotion_and_intensity():
    model = Recorded(lambda tokens, time, codes: tokens)
    follow(model, guidance=2.0)
    codes = inputs()[3]
    both = torch.cat([codes, conditions.without_emotion(codes)])
    assert all(torch.equal(each, both) for each in model.codes)


@torch.inference_mode()
def test_guidance_near_one_is_the_conditional_direction_of_the_network():
    model = network()
    torch.testing.assert_close(follow(model, guidance=1.0), follow(model, guidance=1 + 1e-6), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(follow(model, guidance=1.0), follow(model, guidance=3.0), atol=1e-2)


def toy_sequences():
    def to_tokens(mels):
        return mels.unflatten(2, (-1, sequences.FRAMES)).mean(3).transpose(1, 2)[:, :, :WIDTH]

    return sequences.make(CLIPS, NORMALISER, to_tokens, 24, 2, 0.1, make_rng(0))


def train(seed=0, log=ignore, **change):
    config = CONFIG.model_copy(update=change)
    torch.manual_seed(seed)
    model = Flow(config, WIDTH, SIZES)
    return flow.train(model, toy_sequences(), FACTORS, config, seed, log)


def test_training_lowers_the_loss():
    losses = []
    train(updates=3 * LOG_POINTS, log=lambda metrics: losses.append(metrics["loss"]))
    assert len(losses) == LOG_POINTS
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_one_seed_gives_the_same_bytes(precision):
    first, again, other = (train(seed, precision=precision) for seed in (0, 0, 1))
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    assert all(torch.isfinite(tensor).all() for tensor in first.values())


@pytest.mark.parametrize(("ema", "decay"), [(0.0, 0.0), (0.8, 0.8), (0.998, 1 - 7 / CONFIG.updates)])
def test_the_moving_average_of_the_weights_is_kept(ema, decay):
    torch.manual_seed(0)
    model, steps = Flow(CONFIG, WIDTH, SIZES), []

    def remember(*_):
        steps.append({name: weight.detach().clone() for name, weight in model.named_parameters()})

    hook = register_optimizer_step_post_hook(remember)
    try:
        state = flow.train(model, toy_sequences(), FACTORS, CONFIG.model_copy(update={"ema": ema}), 0, ignore)
    finally:
        hook.remove()
    assert len(steps) == CONFIG.updates
    expected = steps[0]
    for weights in steps[1:]:
        expected = {name: decay * expected[name] + (1 - decay) * weight for name, weight in weights.items()}
    for name, weight in expected.items():
        torch.testing.assert_close(state[name], weight, atol=1e-5, rtol=1e-4)


def test_the_absence_of_factors_is_learnt_where_they_are_dropped():
    torch.manual_seed(0)
    untrained = Flow(CONFIG, WIDTH, SIZES).state_dict()
    dropping, keeping = train(unconditional=0.3), train(unconditional=0.0)
    for factor in range(len(SIZES)):
        name = f"conditions.factors.{factor}.weight"
        decayed, learnt = (trained[name][0] / untrained[name][0] for trained in (keeping, dropping))
        assert float(decayed.std()) < 1e-5  # only weight decay
        assert float(learnt.std()) > 1e-3


def test_what_is_padded_does_not_count_in_the_loss():
    """A network that is right about every token of the clips and wrong beyond their ends has no loss."""
    losses, batches = [], []

    class Right(Flow):
        def forward(self, tokens, time, length, codes, numbers):
            batches.append(length)
            beyond = torch.arange(tokens.shape[1]) >= length[:, None]
            zero = 0 * self.tokens_out.weight.sum()
            clean = torch.zeros_like(tokens)
            return ((tokens - clean) / time[:, None, None]).masked_fill(beyond[:, :, None], 1e6) + zero

    whole = toy_sequences()
    zeros = replace(whole, tokens=torch.zeros_like(whole.tokens))
    flow.train(Right(CONFIG, WIDTH, SIZES), zeros, FACTORS, CONFIG, 0, lambda metrics: losses.append(metrics["loss"]))
    assert any(len(length.unique()) > 1 for length in batches)
    assert max(losses) < 1e-6
