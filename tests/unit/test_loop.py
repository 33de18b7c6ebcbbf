from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from ser.core.optim import ignore
from ser.training import loop
from ser.training.augmentation import AugmentationConfig
from tests.helpers.toy_training import CONFIG, FRAMES, OFF, REAL, VALIDATION, Model, toy_clips, train

ALL_KNOBS = AugmentationConfig(
    probability=0.7,
    vtlp=0.2,
    time_stretch=0.2,
    time_mask=0.3,
    frequency_mask=0.3,
    shift=0.1,
    noise=0.01,
    scale=0.1,
)
SYNTHETIC = toy_clips(30, 2)


def weights(model):
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("change", [{}, {"precision": "bf16"}, {"optimiser": "adam", "weight_decay": 0.0}])
def test_classes_that_are_easy_to_tell_apart_are_learnt(change):
    _, history = train(**change)
    assert history[0]["validation_ua"] < history[-1]["validation_ua"]
    assert history[-1]["train_loss"] < 0.6 * history[0]["train_loss"]
    assert history[-1]["validation_ua"] > 0.9
    assert history[0].keys() == {"train_loss", "validation_loss", "validation_ua"}


def test_shuffled_labels_are_recognised_by_chance():
    order = torch.randperm(len(REAL), generator=torch.Generator().manual_seed(0))
    _, history = train(real=replace(REAL, labels=REAL.labels[order]))
    assert history[-1]["validation_ua"] < 0.7


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"augmentation": ALL_KNOBS},
        {"synthetic": SYNTHETIC, "share": 0.3},
        {"precision": "bf16"},
        {"ema": 0.9},
        {"mixup": 0.4},
    ],
)
def test_the_same_seed_gives_the_same_bytes(change):
    (first, history), (again, same_history) = train(**change), train(**change)
    assert weights(first) == weights(again)
    assert history == same_history
    assert weights(train(seed=1, **change)[0]) != weights(first)


def test_every_knob_changes_the_result():
    knobs = [
        {"augmentation": ALL_KNOBS},
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
    results = {weights(train(**{"epochs": 3} | change)[0])["backbone.5.weight"] for change in [{}, *knobs]}
    assert len(results) == 1 + len(knobs)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_precision_is_what_the_model_computes_in(precision, dtype):
    seen = set()

    def watch(module, _, output):
        if isinstance(module, nn.Linear):
            seen.add((module.training, output.dtype))

    with register_module_forward_hook(watch):
        train(epochs=2, precision=precision)
    assert seen == {(True, dtype), (False, dtype)}


def test_synthetic_clips_add_no_updates():
    updates = []
    hook = register_optimizer_step_post_hook(lambda *_: updates.append(1))
    counts = []
    try:
        for change in ({}, {"augmentation": ALL_KNOBS}, {"synthetic": SYNTHETIC, "share": 0.3}):
            train(**change)
            counts.append(len(updates))
            updates.clear()
    finally:
        hook.remove()
    assert counts == [6 * (44 // 8)] * 3


def test_fewer_clips_than_a_batch_still_train():
    few = toy_clips(5, 3)
    assert len(train(real=few, epochs=2)[1]) == 2


@pytest.mark.parametrize(("share", "synthetic"), [(0.0, 0), (0.3, 3), (0.5, 8)])
def test_every_batch_has_the_share_of_synthetic_clips_on_top_of_real_ones(share, synthetic):
    stream = loop.Sources(REAL, SYNTHETIC, share).batches(8, torch.Generator().manual_seed(0))
    drawn = [next(stream) for _ in range(60)]
    assert {int((batch < len(REAL)).sum()) for batch in drawn} == {8}
    assert {int((batch >= len(REAL)).sum()) for batch in drawn} == {synthetic}
    drawn = torch.cat(drawn)
    assert set(drawn[drawn < len(REAL)].tolist()) == set(range(len(REAL)))
    if synthetic:
        assert set(drawn[drawn >= len(REAL)].tolist()) == set(range(len(REAL), len(REAL) + len(SYNTHETIC)))


def test_every_clip_comes_once_per_round():
    stream = loop.Sources(REAL).batches(8, torch.Generator().manual_seed(0))
    drawn = torch.cat([next(stream) for _ in range(22)])  # four rounds of 44 clips
    for number in range(4):
        assert sorted(drawn[44 * number : 44 * (number + 1)].tolist()) == list(range(44))


def test_synthetic_clips_are_used_in_training_alone():
    loud = replace(SYNTHETIC, frames=torch.full_like(SYNTHETIC.frames, 6e4))
    peaks = {True: [], False: []}

    def watch(model, inputs):
        peaks[model.training].append(inputs[0].amax((1, 2, 3)) > 1000)

    model = Model(REAL.normaliser())
    model.register_forward_pre_hook(watch)
    config = CONFIG.model_copy(update={"epochs": 1})
    loop.train(model, loop.Sources(REAL, loud, 0.3), VALIDATION, FRAMES, config, OFF, 0, ignore)
    assert [int(batch.sum()) for batch in peaks[True]] == [3] * 5
    assert not any(batch.any() for batch in peaks[False])


def test_training_lasts_all_epochs_and_ends_with_the_last_one_whatever_validation_says(monkeypatch):
    recalls = iter([0.9, *[0.1] * 19])
    monkeypatch.setattr(loop, "mean_recall", lambda *_: next(recalls))
    snapshots = []
    model, history = train(epochs=20, log=lambda model: snapshots.append(weights(model)))
    assert [metrics["validation_ua"] for metrics in history] == [0.9, *[0.1] * 19]
    assert weights(model) == snapshots[-1] != snapshots[0]


def test_validation_clips_change_nothing_but_the_log():
    (model, history), (without, losses) = train(), train(validation=None)
    assert weights(model) == weights(without)
    assert losses == [{"train_loss": metrics["train_loss"]} for metrics in history]


def test_mean_recall_weighs_classes_equally():
    labels = torch.tensor([0, 0, 0, 0, 1, 3])
    assert loop.mean_recall(torch.tensor([0, 0, 0, 1, 1, 0]), labels) == pytest.approx((0.75 + 1 + 0) / 3)
    assert loop.mean_recall(labels, labels) == 1.0


@pytest.mark.parametrize(("ema", "decay"), [(0.75, 0.75), (0.99, 1 - 7 / 44)])
def test_the_averaged_weights_are_kept(ema, decay):
    steps = []
    hook = register_optimizer_step_post_hook(
        lambda optimiser, *_: steps.append(optimiser.param_groups[0]["params"][-1].detach().clone())
    )
    model, _ = train(epochs=1, batch=1, ema=ema)
    hook.remove()
    average = steps[0]
    for step in steps[1:]:
        average = decay * average + (1 - decay) * step
    assert len(steps) == 44
    torch.testing.assert_close(model.backbone[-1].bias, average)


def test_the_average_spans_at_most_a_seventh_of_the_training():
    assert loop.ema_decay(0.99, 700) == loop.ema_decay(0.99, 10_000) == 0.99
    assert loop.ema_decay(0.99, 70) == pytest.approx(0.9)
    assert loop.ema_decay(0.99, 5) == loop.ema_decay(0.0, 1000) == 0.0


@pytest.mark.parametrize("proportion", [0.0, 1.0])
def test_mixup_mixes_labels_as_it_mixes_clips(proportion, monkeypatch):
    """With proportion 1 a clip stays as it is; with 0 it becomes the other clip of its pair, label included."""
    monkeypatch.setattr(loop.np.random, "default_rng", lambda _: SimpleNamespace(beta=lambda *_: proportion))
    model, history = train(mixup=0.4)
    assert history[-1]["validation_ua"] > 0.9
    assert (weights(model) == weights(train()[0])) == (proportion == 1)
