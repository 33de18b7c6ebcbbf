"""Training and testing one classifier. The epoch is chosen on validation speakers; nothing here sees a test label."""

import copy
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ser.core.device import Precision, autocast
from ser.core.optim import warmup_cosine
from ser.core.params import Section
from ser.core.rng import make_rng
from ser.core.stage import progress
from ser.models.classifier import evaluate
from ser.training.augmentation import mask


class Training(Section):
    epochs: int = Field(gt=0)
    ema: float = Field(ge=0, lt=1)
    mixup: float = Field(ge=0)
    batch: int = Field(gt=1)
    optimiser: Literal["adam", "adamw"]
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(ge=0, lt=1)
    patience: int = Field(gt=0)
    precision: Precision


@dataclass(frozen=True)
class Sources:
    """What one classifier is trained on: real clips, and synthetic ones that fill `share` of every batch."""

    real: object  # batches.Clips
    synthetic: object = None
    share: float = 0.0

    def batches(self, size, generator):
        """Endless batches of clip numbers: into the real clips, then into the synthetic ones after them."""
        synthetic = round(self.share * size) if self.synthetic else 0
        real = _shuffled_forever(len(self.real), size - synthetic, generator)
        extra = _shuffled_forever(len(self.synthetic), synthetic, generator) if synthetic else None
        for batch in real:
            yield torch.cat([batch, next(extra) + len(self.real)]) if extra else batch

    def clips(self):
        return self.real.followed_by(self.synthetic) if self.synthetic else self.real


def _shuffled_forever(count, size, generator):
    queue = torch.empty(0, dtype=torch.long)
    while True:
        while len(queue) < size:
            queue = torch.cat([queue, torch.randperm(count, generator=generator)])
        yield queue[:size]
        queue = queue[size:]


def fit(
    model,  # Classifier, with its initial weights
    normalise,  # statistics of the real training clips
    sources,  # what is trained on
    validation,  # Clips that choose the epoch, or None to take the last
    frames,  # length of the crops
    settings,  # Training
    masking,  # Masking
    seed,  # of batches, crops, masks and dropout
    log,  # called with a dict of figures after every epoch
):
    """Train `model` and leave it with the weights of the epoch with the best validation UA, or of the last without
    validation clips; return that epoch. The weights that are judged and kept are averages over updates, the older ones
    fading as `averaging` has it.

    An epoch is as many updates as the real clips fill batches, so the schedule of an arm with synthetic clips has as
    many updates as that of one without. Training ends early after `settings.patience` epochs without a better one.
    With `settings.mixup` the clips of every batch are mixed in pairs, in a proportion from a Beta distribution with
    that parameter (Zhang et al. 2018, arXiv 1710.09412).
    """
    device = sources.real.start.device
    generator, proportions = make_rng(seed), np.random.default_rng(seed)
    torch.manual_seed(seed)
    model.to(device)
    optimiser = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimiser](
        model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    updates = max(1, len(sources.real) // settings.batch)
    decay = averaging(settings.ema, updates * settings.epochs)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    cross_entropy = partial(F.cross_entropy, label_smoothing=settings.label_smoothing)
    schedule = warmup_cosine(optimiser, updates * settings.epochs)
    clips, batches = sources.clips(), sources.batches(settings.batch, generator)
    best, best_state, best_epoch = (-1.0, 0.0), None, 0
    bar = progress(unit="clip", total=updates * settings.epochs * settings.batch)
    for epoch in range(1, settings.epochs + 1):
        model.train()
        total = torch.zeros((), device=device)
        for _ in range(updates):
            which = next(batches).to(device)
            mels = normalise(clips.random_crops(which, masking.reach(frames), generator))
            mels = mask(mels, frames, masking, generator)
            if settings.mixup:
                first = float(proportions.beta(settings.mixup, settings.mixup))
                mels = first * mels + (1 - first) * mels.flip(0)
            with autocast(device, settings.precision):
                logits = model(mels.contiguous(memory_format=torch.channels_last)).float()
            emotion = clips.emotion[which]
            loss = cross_entropy(logits, emotion)
            if settings.mixup:
                loss = first * loss + (1 - first) * cross_entropy(logits, emotion.flip(0))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            average.update_parameters(model)
            total += loss.detach()
            bar.update(len(which))
        figures = {"train_loss": total.item() / updates}
        if validation is None:
            log(figures)
            continue
        logits = evaluate(average.module, normalise, validation, frames, settings.precision)
        validation_loss = F.cross_entropy(logits, validation.emotion.cpu()).item()
        figures["validation_loss"] = validation_loss
        figures["validation_ua"] = mean_recall(logits.argmax(1), validation.emotion.cpu())
        log(figures)
        score = figures["validation_ua"], -validation_loss
        if score > best:
            best, best_state, best_epoch = score, copy.deepcopy(average.module.state_dict()), epoch
        if epoch - best_epoch >= settings.patience:
            break
    bar.close()
    if validation is None:
        best_state, best_epoch = average.module.state_dict(), epoch
    model.load_state_dict(best_state)
    return best_epoch


def averaging(ema, updates):
    """By how much the average of the weights fades an update: `ema`, or as much less in a short training of so many
    updates that it remembers no more than a seventh of them. Otherwise it would hold the initial weights to the end."""
    return max(0.0, min(ema, 1 - 7 / updates))


def mean_recall(predicted, emotion):
    """UA: the recall of each emotion that occurs, averaged."""
    correct = (predicted == emotion).double()
    return torch.stack([correct[emotion == number].mean() for number in emotion.unique()]).mean().item()
