import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from ser.data.clips import Clips
from ser.training import loop
from ser.training.augmentation import Masking

FRAMES, BANDS, EMOTIONS = 6, 6, 3
SETTINGS = loop.Training(
    epochs=6,
    ema=0.0,
    mixup=0.0,
    batch=8,
    optimiser="adamw",
    learning_rate=0.02,
    weight_decay=0.05,
    label_smoothing=0.1,
    patience=10,
    precision="fp32",
)


def toy_clips(count, seed):
    """Clips of 4 to 11 frames in which two of six bands, other ones in every emotion, are louder."""
    rng = np.random.default_rng(seed)
    emotion = np.arange(count) % EMOTIONS
    length = rng.integers(4, 12, count)
    frames = rng.normal(-50, 6, (length.sum(), BANDS))
    frames += 12 * (np.arange(BANDS) // 2 == np.repeat(emotion, length)[:, None])
    tensors = frames.astype(np.float16), np.cumsum(length) - length, length, emotion
    return Clips(*map(torch.as_tensor, tensors))


MASKS = Masking(probability=0.7, voice=0.2, tempo=0.2, time=0.3, frequency=0.3, shift=0.1, noise=0.01, scale=0.1)
UNMASKED = MASKS.model_copy(update={"probability": 0.0})
REAL, VALIDATION, SYNTHETIC = toy_clips(44, 0), toy_clips(21, 1), toy_clips(30, 2)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(4 * BANDS * FRAMES, EMOTIONS),
        )

    def forward(self, mels):
        return self.body(mels)


def fit(real=REAL, synthetic=None, share=0.0, masks=UNMASKED, seed=0, log=None, **change):
    """Train a Model; returns it, the chosen epoch and the history."""
    model, history = Model(), []
    sources = loop.Sources(real, synthetic, share)

    def log_all(figures):
        history.append(figures)
        if log:
            log(model)

    settings = SETTINGS.model_copy(update=change)
    epoch = loop.fit(model, real.normaliser(), sources, VALIDATION, FRAMES, settings, masks, seed, log_all)
    return model, epoch, history


def weights(model):
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("change", [{}, {"precision": "bf16"}, {"optimiser": "adam", "weight_decay": 0.0}])
def test_a_separable_set_is_learnt(change):
    _, _, history = fit(**change)
    assert history[0]["validation_ua"] < history[-1]["validation_ua"]
    assert history[-1]["train_loss"] < 0.6 * history[0]["train_loss"]
    assert history[-1]["validation_ua"] > 0.9
    assert history[0].keys() == {"train_loss", "validation_loss", "validation_ua"}


def test_chance_where_the_emotions_are_shuffled():
    order = torch.randperm(len(REAL), generator=torch.Generator().manual_seed(0))
    _, _, history = fit(real=replace(REAL, emotion=REAL.emotion[order]))
    assert history[-1]["validation_ua"] < 0.7


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"masks": MASKS},
        {"synthetic": SYNTHETIC, "share": 0.3},
        {"precision": "bf16"},
        {"ema": 0.9},
        {"mixup": 0.4},
    ],
)
def test_the_same_seed_gives_the_same_bytes(change):
    (first, epoch, history), (again, *rest) = fit(**change), fit(**change)
    assert weights(first) == weights(again)
    assert [epoch, history] == rest
    assert weights(fit(seed=1, **change)[0]) != weights(first)


def test_every_knob_changes_the_result():
    knobs = [
        {"masks": MASKS},
        {"synthetic": SYNTHETIC, "share": 0.3},
        {"batch": 4},
        {"ema": 0.5},
        {"mixup": 0.4},
        {"optimiser": "adam"},
        {"learning_rate": 0.01},
        {"weight_decay": 0.5},
        {"label_smoothing": 0.2},
        {"precision": "bf16"},
    ]
    results = {weights(fit(**{"epochs": 3} | change)[0])["body.5.weight"] for change in [{}, *knobs]}
    assert len(results) == 1 + len(knobs)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_precision_is_what_the_model_computes_in(precision, dtype):
    seen = set()

    def watch(module, _, output):
        if isinstance(module, nn.Linear):
            seen.add((module.training, output.dtype))

    with register_module_forward_hook(watch):
        fit(epochs=2, precision=precision)
    assert seen == {(True, dtype), (False, dtype)}


def test_synthetic_clips_bring_no_more_updates():
    updates = []
    hook = register_optimizer_step_post_hook(lambda *_: updates.append(1))
    counts = []
    try:
        for change in ({}, {"masks": MASKS}, {"synthetic": SYNTHETIC, "share": 0.3}):
            fit(**change)
            counts.append(len(updates))
            updates.clear()
    finally:
        hook.remove()
    assert counts == [6 * (44 // 8)] * 3


def test_fewer_clips_than_a_batch_still_train():
    few = toy_clips(5, 3)
    assert len(fit(real=few, epochs=2)[2]) == 2


@pytest.mark.parametrize(("share", "synthetic"), [(0.0, 0), (0.3, 2), (0.5, 4)])
def test_every_batch_holds_the_share_of_synthetic_clips(share, synthetic):
    stream = loop.Sources(REAL, SYNTHETIC, share).batches(8, torch.Generator().manual_seed(0))
    drawn = [next(stream) for _ in range(60)]
    assert {len(batch) for batch in drawn} == {8}
    assert {int((batch >= len(REAL)).sum()) for batch in drawn} == {synthetic}
    drawn = torch.cat(drawn)
    assert set(drawn[drawn < len(REAL)].tolist()) == set(range(len(REAL)))
    if synthetic:
        assert set(drawn[drawn >= len(REAL)].tolist()) == set(range(len(REAL), len(REAL) + len(SYNTHETIC)))


def test_every_clip_comes_once_a_round():
    stream = loop.Sources(REAL).batches(8, torch.Generator().manual_seed(0))
    drawn = torch.cat([next(stream) for _ in range(22)])  # four rounds of 44 clips
    for number in range(4):
        assert sorted(drawn[44 * number : 44 * (number + 1)].tolist()) == list(range(44))


def test_synthetic_clips_are_seen_in_training_and_nowhere_else():
    loud = replace(SYNTHETIC, frames=torch.full_like(SYNTHETIC.frames, 6e4))
    peaks = {True: [], False: []}

    def watch(model, inputs):
        peaks[model.training].append(inputs[0].amax((1, 2, 3)) > 1000)

    model = Model()
    model.register_forward_pre_hook(watch)
    loop.fit(
        model,
        REAL.normaliser(),
        loop.Sources(REAL, loud, 0.3),
        VALIDATION,
        FRAMES,
        SETTINGS.model_copy(update={"epochs": 1}),
        UNMASKED,
        0,
        lambda _: None,
    )
    assert [int(batch.sum()) for batch in peaks[True]] == [2] * 5
    assert not any(batch.any() for batch in peaks[False])


def test_the_best_epoch_is_restored():
    snapshots = []
    model, best, history = fit(
        epochs=8, learning_rate=0.05, log=lambda model: snapshots.append(copy.deepcopy(weights(model)))
    )
    scores = [(figures["validation_ua"], -figures["validation_loss"]) for figures in history]
    assert best == scores.index(max(scores)) + 1
    assert weights(model) == snapshots[best - 1]


@pytest.mark.parametrize(("patience", "epochs", "best"), [(1, 3, 2), (3, 5, 2), (4, 8, 6), (10, 8, 6)])
def test_training_ends_after_epochs_without_a_better_one(monkeypatch, patience, epochs, best):
    recalls = iter([0.5, 0.6, 0.4, 0.5, 0.3, 0.9, 0.2, 0.2])
    monkeypatch.setattr(loop, "mean_recall", lambda *_: next(recalls))
    snapshots = []
    model, epoch, history = fit(epochs=8, patience=patience, log=lambda model: snapshots.append(weights(model)))
    assert (len(history), epoch) == (epochs, best)
    assert weights(model) == snapshots[best - 1]


def test_among_equal_recalls_the_lower_loss_is_chosen(monkeypatch):
    monkeypatch.setattr(loop, "mean_recall", lambda *_: 0.5)
    _, best, history = fit(learning_rate=0.002)
    losses = [figures["validation_loss"] for figures in history]
    assert best == losses.index(min(losses)) + 1 > 1


def test_mean_recall_weighs_emotions_alike():
    emotion = torch.tensor([0, 0, 0, 0, 1, 3])
    assert loop.mean_recall(torch.tensor([0, 0, 0, 1, 1, 0]), emotion) == pytest.approx((0.75 + 1 + 0) / 3)
    assert loop.mean_recall(emotion, emotion) == 1.0


@pytest.mark.parametrize(("ema", "decay"), [(0.75, 0.75), (0.99, 1 - 7 / 44)])
def test_averaged_weights_are_the_ones_that_are_kept(ema, decay):
    steps = []
    hook = register_optimizer_step_post_hook(
        lambda optimiser, *_: steps.append(optimiser.param_groups[0]["params"][-1].detach().clone())
    )
    model, _, _ = fit(epochs=1, batch=1, ema=ema)
    hook.remove()
    average = steps[0]
    for step in steps[1:]:
        average = decay * average + (1 - decay) * step
    assert len(steps) == 44
    torch.testing.assert_close(model.body[-1].bias, average)


def test_the_average_remembers_a_seventh_of_a_short_training():
    assert loop.averaging(0.99, 700) == loop.averaging(0.99, 10_000) == 0.99
    assert loop.averaging(0.99, 70) == pytest.approx(0.9)
    assert loop.averaging(0.99, 5) == loop.averaging(0.0, 1000) == 0.0


@pytest.mark.parametrize("proportion", [0.0, 1.0])
def test_mixed_clips_keep_their_emotions(proportion, monkeypatch):
    """Of proportion 1 a clip remains as it is, of 0 it becomes the other of its pair, emotion included."""
    monkeypatch.setattr(loop.np.random, "default_rng", lambda _: SimpleNamespace(beta=lambda *_: proportion))
    model, _, history = fit(mixup=0.4)
    assert history[-1]["validation_ua"] > 0.9
    assert (weights(model) == weights(fit()[0])) == (proportion == 1)
