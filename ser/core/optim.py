"""What training loops share."""

from math import ceil, cos, pi

import torch

LOG_POINTS = 50  # points of a loss curve


def warmup_cosine(optimizer, updates, warmup=0.05):
    """Learning rate schedule: linear over the first share `warmup` of `updates`, then a half cosine to zero."""
    rise = ceil(warmup * updates)

    def factor(update):
        if update < rise:
            return (update + 1) / rise
        return 0.5 * (1 + cos(pi * (update - rise) / max(1, updates - rise)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def log_means(log, updates):
    """A function that takes a dict of figures, one tensor each, after every one of `updates`; it logs their means about
    LOG_POINTS times."""
    every = updates // LOG_POINTS
    count, totals = 0, {}

    def add(figures):
        nonlocal count
        count += 1
        for name, value in figures.items():
            totals[name] = totals.get(name, 0.0) + value.detach()
        if count % every == 0:
            log({name: float(total) / every for name, total in totals.items()})
            totals.clear()

    return add
