from math import ceil

import pytest
import torch

from ser.core.optim import LOG_POINTS, MeanLog, warmup_cosine


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


@pytest.mark.parametrize("updates", [LOG_POINTS, 120, 1000])
def test_means_over_the_updates_are_logged(updates):
    logged = []
    mean_log = MeanLog(logged.append, updates)
    for update in range(updates):
        mean_log.add({"loss": torch.tensor(float(update)), "other": torch.tensor(1.0)})
    every = updates // LOG_POINTS
    assert LOG_POINTS <= len(logged) < 2 * LOG_POINTS
    for number, metrics in enumerate(logged):
        assert metrics == {"loss": pytest.approx(every * number + (every - 1) / 2), "other": 1.0}
