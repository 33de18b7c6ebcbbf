"""Training one classifier for a fixed number of epochs. No test label is seen here."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ser.core.device import Precision, autocast
from ser.core.optim import Log, ema_decay, warmup_cosine
from ser.core.params import Config
from ser.core.rng import make_rng
from ser.core.stage import progress
from ser.data.clips import Clips
from ser.models.classifier import Classifier, evaluate
from ser.training.augmentation import AugmentationConfig, augment


class TrainingConfig(Config):
    epochs: int = Field(gt=0)
    ema: float = Field(ge=0, lt=1)
    mixup: float = Field(ge=0)
    batch: int = Field(gt=1)
    optimiser: Literal["adam", "adamw"]
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(ge=0, lt=1)
    precision: Precision


@dataclass(frozen=True)
class Sources:
    """What one classifier is trained on: real clips, and synthetic ones, `share` of every batch."""

    real: Clips
    synthetic: Clips | None = None
    share: float = 0.0

    def batches(self, size: int, rng: torch.Generator) -> Iterator[Tensor]:
        """Endless batches of numbers of `clips`: `size` real ones, and synthetic ones on top."""
        n_synthetic = round(size * self.share / (1 - self.share)) if self.synthetic else 0
        real = _shuffled_forever(len(self.real), size, rng)
        synthetic = _shuffled_forever(len(self.synthetic), n_synthetic, rng) if self.synthetic and n_synthetic else None
        for batch in real:
            yield torch.cat([batch, next(synthetic) + len(self.real)]) if synthetic else batch

    def clips(self) -> Clips:
        """The real clips and then the synthetic ones."""
        return self.real.followed_by(self.synthetic) if self.synthetic else self.real


def _shuffled_forever(count: int, size: int, rng: torch.Generator) -> Iterator[Tensor]:
    queue = torch.empty(0, dtype=torch.long)
    while True:
        while len(queue) < size:
            queue = torch.cat([queue, torch.randperm(count, generator=rng)])
        yield queue[:size]
        queue = queue[size:]


def train(
    model: Classifier,  # with its initial weights
    sources: Sources,
    validation: Clips | None,  # evaluated after every epoch, for the log alone
    frames: int,  # length of the crops
    config: TrainingConfig,
    augmentation: AugmentationConfig,
    seed: int,  # of batches, crops, augmentation and dropout
    log: Log,  # called after every epoch
) -> None:
    """Train `model` for `config.epochs` and leave it with averaged weights.

    These are averages over updates in which older weights fade (see `ema_decay`).
    An epoch has as many updates as the real clips fill batches, so that an arm with synthetic clips is trained for as
    many updates as one without. With `config.mixup` the clips of every batch are mixed in pairs, in a proportion from a
    Beta distribution with that parameter (Zhang et al. 2018, arXiv 1710.09412).
    """
    device = sources.real.device
    rng, proportions = make_rng(seed), np.random.default_rng(seed)
    torch.manual_seed(seed)
    model.to(device)
    optimiser = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimiser](
        model.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    updates = max(1, len(sources.real) // config.batch)
    all_updates = updates * config.epochs
    decay = ema_decay(config.ema, all_updates)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    averaged_model = cast(Classifier, average.module)
    cross_entropy = partial(F.cross_entropy, label_smoothing=config.label_smoothing)
    schedule = warmup_cosine(optimiser, all_updates)
    clips, batches = sources.clips(), sources.batches(config.batch, rng)
    bar = progress(unit="clip", total=all_updates * config.batch)
    for _ in range(config.epochs):
        model.train()
        total_loss = torch.zeros((), device=device)
        for _ in range(updates):
            clip_index = next(batches).to(device)
            mels = model.normaliser(clips.random_crops(clip_index, augmentation.source_frames(frames), rng))
            mels = augment(mels, frames, augmentation, rng)
            if config.mixup:
                proportion = float(proportions.beta(config.mixup, config.mixup))
                mels = proportion * mels + (1 - proportion) * mels.flip(0)
            with autocast(device, config.precision):
                logits = model(mels.contiguous(memory_format=torch.channels_last)).float()
            labels = clips.labels[clip_index]
            loss = cross_entropy(logits, labels)
            if config.mixup:
                loss = proportion * loss + (1 - proportion) * cross_entropy(logits, labels.flip(0))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            average.update_parameters(model)
            total_loss += loss.detach()
            bar.update(config.batch)
        metrics = {"train_loss": total_loss.item() / updates}
        if validation is not None:
            logits = evaluate(averaged_model, validation, frames, config.precision)
            labels = validation.labels.cpu()
            metrics["validation_loss"] = F.cross_entropy(logits, labels).item()
            metrics["validation_ua"] = mean_recall(logits.argmax(1), labels)
        log(metrics)
    bar.close()
    model.load_state_dict(averaged_model.state_dict())


def mean_recall(predicted: Tensor, labels: Tensor) -> float:
    """UA: the recall of each class that occurs, averaged."""
    correct = (predicted == labels).double()
    return torch.stack([correct[labels == label].mean() for label in labels.unique()]).mean().item()
