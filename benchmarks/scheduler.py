"""How well units are dealt over many ranks: a simulation of the policy of ser.ranks, up to 1,000 units.

A rank claims the first unit that nobody holds. When it is lost, its unit starts again on the same rank, after a delay.
For comparison: units dealt beforehand (unit i to rank i modulo their number), and claimed units with every rank
started anew when one is lost, which is what torchrun does to ranks that are not supervised. Times are in mean units.
"""

import heapq
from itertools import product

import numpy as np

from benchmarks import bench

SPREAD = 0.15  # standard deviation of a unit's duration, of its mean: early stopping and other users
DELAY = 0.05  # from a loss to the next start
LOSSES = [0, 0.05]  # a rank, in the time of a unit
UNITS, RANKS = [5, 10, 100, 1000], [1, 2, 8, 64]
RUNS = 20  # of the simulation, each with its own durations and losses


def main():
    """Simulate every case; return the result."""
    rows = []
    for units, ranks, losses in product(UNITS, RANKS, LOSSES):
        if ranks > units:
            continue
        policies = {"claimed": claimed, "dealt beforehand": dealt, "all start anew": all_start_anew}
        row = {"units": units, "ranks": ranks, "losses": losses}
        for name, policy in policies.items():
            runs = [efficiency(policy, units, ranks, losses, seed) for seed in range(RUNS)]
            row[name] = round(float(np.mean(runs)), 3)
        rows.append(row)
    return {
        "what": "efficiency, work / (ranks x time to the last unit), simulated",
        "settings": {"spread": SPREAD, "delay": DELAY, "runs": RUNS},
        "cases": rows,
        "rows": [],
    }


def efficiency(policy, units, ranks, losses, seed):
    rng = np.random.default_rng(seed)
    durations = rng.normal(1, SPREAD, units).clip(0.3)
    return durations.sum() / (ranks * policy(durations, ranks, losses, rng))


def claimed(durations, ranks, losses, rng):
    """The time to the last unit when each rank takes the next unit as soon as it is free."""
    free = [0.0] * ranks
    for duration in durations:
        heapq.heappush(free, heapq.heappop(free) + with_losses(duration, losses, rng))
    return max(free)


def dealt(durations, ranks, losses, rng):
    return max(sum(with_losses(duration, losses, rng) for duration in durations[rank::ranks]) for rank in range(ranks))


def with_losses(duration, losses, rng):
    """The time that a unit takes on a rank that is lost now and then, and starts the unit again each time."""
    total = 0.0
    while losses and (lost := rng.exponential(1 / losses)) < duration:
        total += lost + DELAY
    return total + duration


def all_start_anew(durations, ranks, losses, rng):
    """As `claimed`, but a loss of any rank stops the units of all."""
    missing, now = list(durations), 0.0
    while missing:
        stop = rng.exponential(1 / (losses * ranks)) if losses else np.inf
        free, left, last = [0.0] * ranks, [], 0.0
        for duration in missing:
            end = heapq.heappop(free) + duration
            heapq.heappush(free, end)
            if end > stop:
                left.append(duration)
            else:
                last = max(last, end)
        now += stop + DELAY if left else last
        missing = left
    return now


if __name__ == "__main__":
    bench.report(main)
