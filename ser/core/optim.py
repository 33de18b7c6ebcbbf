"""What training loops share: descent, the schedule of the learning rate, averaged weights, and what is logged."""

from collections.abc import Callable
from math import ceil, cos, pi

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ser.core.device import Precision
from ser.core.params import Config

Log = Callable[[dict[str, float]], None]  # called with the metrics of a step or an epoch
LOG_POINTS = 50  # of a loss curve


def ignore(metrics: dict[str, float]) -> None:
    """A Log that keeps nothing."""


def warmup_cosine(
    optimizer: torch.optim.Optimizer, updates: int, warmup: float = 0.05
) -> torch.optim.lr_scheduler.LambdaLR:
    """Learning rate schedule: linear over the first share `warmup` of `updates`, then a half cosine to zero."""
    rise = ceil(warmup * updates)

    def factor(update: int) -> float:
        if update < rise:
            return (update + 1) / rise
        return 0.5 * (1 + cos(pi * (update - rise) / max(1, updates - rise)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def ema_decay(ema: float, updates: int) -> float:
    """Decay of the averaged weights per update: `ema`, or less in a short training.

    The average spans at most a seventh of `updates`; otherwise it would hold the initial weights to the end.
    """
    return max(0.0, min(ema, 1 - 7 / updates))


class MeanLog:
    """Logs the means of metrics over the updates of a training, about LOG_POINTS times."""

    def __init__(self, log: Log, updates: int) -> None:
        self.log = log
        self.every = updates // LOG_POINTS
        self.count = 0
        self.totals: dict[str, Tensor | float] = {}

    def add(self, metrics: dict[str, Tensor]) -> None:
        """Take the metrics of one update, a scalar tensor each."""
        self.count += 1
        for name, value in metrics.items():
            self.totals[name] = self.totals.get(name, 0.0) + value.detach()
        if self.count % self.every == 0:
            self.log({name: float(total) / self.every for name, total in self.totals.items()})
            self.totals.clear()


class DescentConfig(Config):
    updates: int = Field(ge=LOG_POINTS)
    batch: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    ema: float = Field(ge=0, lt=1)
    precision: Precision


class Descent:
    """The updates of a generative network: AdamW with limited gradients, and a moving average of the weights."""

    def __init__(self, model: nn.Module, config: DescentConfig, log: Log) -> None:
        self.model = model
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema_decay(config.ema, config.updates)))
        self.optimiser = torch.optim.AdamW(model.parameters(), config.learning_rate, (0.9, 0.99), fused=True)
        self.schedule = warmup_cosine(self.optimiser, config.updates)
        self.log = MeanLog(log, config.updates)

    def step(self, loss: Tensor, **metrics: Tensor) -> None:
        """One update that lowers `loss`, which is logged with `metrics`."""
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        self.average.update_parameters(self.model)
        self.log.add({"loss": loss, **metrics})

    def averaged(self) -> nn.Module:
        """The network with averaged weights."""
        return self.average.module
