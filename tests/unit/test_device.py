from math import ceil

import pytest
import torch

from ser.core.optim import warmup_cosine
from ser.core.rng import derive_seed, make_rng


def test_derived_seeds_differ():
    seeds = {derive_seed(seed, repeat, fold) for seed in range(5) for repeat in range(5) for fold in range(5)}
    assert len(seeds) == 125
    assert derive_seed(1, 2, 3) == derive_seed(1, 2, 3)


def test_a_generator_is_determined_by_its_seed_and_draws_on_the_cpu():
    first, second = make_rng(7), make_rng(7)
    assert first.device.type == "cpu"
    assert torch.equal(torch.rand(3, generator=first), torch.rand(3, generator=second))


@pytest.mark.parametrize("updates", [2, 7, 100])
def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero(updates):
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = warmup_cosine(optimiser, updates)
    rates = []
    for _ in range(updates):
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    peak = rates.index(max(rates))
    assert max(rates) == 2.0
    assert rates[0] == pytest.approx(2.0 / ceil(0.05 * updates))
    assert peak <= 0.05 * updates
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert schedule.get_last_lr()[0] == pytest.approx(0, abs=1e-12)
