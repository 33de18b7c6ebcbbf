"""Training and testing one classifier. The epoch is chosen on validation speakers; nothing here sees a test label."""

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from ser import compute
from ser.classifiers import evaluate
from ser.masking import mask
from ser.params import Section
from ser.runtime import progress


class Training(Section):
    epochs: int = Field(gt=0)
    batch: int = Field(gt=1)
    optimiser: Literal["adam", "adamw"]
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    label_smoothing: float = Field(ge=0, lt=1)
    patience: int = Field(gt=0)
    precision: compute.Precision


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
    model,         # Classifier, with its initial weights
    normalise,     # statistics of the real training clips
    sources,       # what is trained on
    validation,    # Clips that choose the epoch, or None to take the last
    frames,        # length of the crops
    settings,      # Training
    masking,       # Masking
    seed,          # of batches, crops, masks and dropout
    log,           # called with a dict of figures after every epoch
):
    """Train `model` and leave it with the weights of the epoch with the best validation UA, or of the last without
    validation clips; return that epoch.

    An epoch is as many updates as the real clips fill batches, so the schedule of an arm with synthetic clips has as
    many updates as that of one without. Training ends early after `settings.patience` epochs without a better one.
    """
    device = sources.real.start.device
    generator = compute.generator(seed)
    torch.manual_seed(seed)
    model.to(device)
    optimiser = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimiser](
        model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    updates = max(1, len(sources.real) // settings.batch)
    schedule = compute.warmup_cosine(optimiser, updates * settings.epochs)
    clips, batches = sources.clips(), sources.batches(settings.batch, generator)
    best, best_state, best_epoch = (-1.0, 0.0), None, 0
    bar = progress(unit="clip", total=updates * settings.epochs * settings.batch)
    for epoch in range(1, settings.epochs + 1):
        model.train()
        total = torch.zeros((), device=device)
        for _ in range(updates):
            which = next(batches).to(device)
            mels = normalise(clips.random_crops(which, frames, generator))
            mels = mask(mels, masking, generator)
            mels = mels.contiguous(memory_format=torch.channels_last)
            with compute.autocast(device, settings.precision):
                logits = model(mels)
            loss = F.cross_entropy(
                logits.float(), clips.emotion[which], label_smoothing=settings.label_smoothing
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.detach()
            bar.update(len(which))
        figures = {"train_loss": total.item() / updates}
        if validation is None:
            log(figures)
            continue
        logits = evaluate(model, normalise, validation, frames, settings.precision)
        validation_loss = F.cross_entropy(logits, validation.emotion.cpu()).item()
        figures["validation_loss"] = validation_loss
        figures["validation_ua"] = mean_recall(logits.argmax(1), validation.emotion.cpu())
        log(figures)
        score = figures["validation_ua"], -validation_loss
        if score > best:
            best, best_state, best_epoch = score, copy.deepcopy(model.state_dict()), epoch
        if epoch - best_epoch >= settings.patience:
            break
    bar.close()
    if validation is None:
        return epoch
    model.load_state_dict(best_state)
    return best_epoch


def mean_recall(predicted, emotion):
    """UA: the recall of each emotion that occurs, averaged."""
    correct = (predicted == emotion).double()
    return torch.stack([correct[emotion == number].mean() for number in emotion.unique()]).mean().item()
