"""The figures: what they show, and that equal ones have equal bytes."""

import re

import numpy as np
import pandas as pd
import pytest

from ser.evaluation.statistics import compare_arms
from ser.reporting import figures, overview, tables

EMOTIONS = ["anger", "boredom", "neutral"]
ARMS = ["baseline", "masked", "augmented", "vae"]


def comparison(arms=ARMS, corpora=("emodb", "ravdess"), speakers=3, runs=1):
    rng = np.random.default_rng(0)
    catalogue = pd.DataFrame(
        [
            (f"{corpus}/{speaker}-{clip}", corpus, f"{corpus}-{speaker}", "female", EMOTIONS[clip % 3], "normal")
            for corpus in corpora
            for speaker in range(speakers)
            for clip in range(6)
        ],
        columns=["clip", "corpus", "speaker", "sex", "emotion", "intensity"],
    )
    truth = pd.concat([catalogue[["clip", "emotion"]].assign(repeat=0, run=run) for run in range(runs)])
    predictions = {}
    for arm in arms:
        probability = rng.dirichlet([1] * len(EMOTIONS), len(truth))
        predictions[arm] = truth.assign(predicted=np.array(EMOTIONS)[probability.argmax(axis=1)])
        predictions[arm][EMOTIONS] = probability
    return compare_arms(predictions, catalogue, EMOTIONS, "speaker", resamples=100)[1]


def histories(arms=ARMS):
    rng = np.random.default_rng(0)
    rows = [(0, fold, run, epoch) for fold in range(2) for run in range(2) for epoch in range(1, 6)]
    epochs = pd.DataFrame(rows, columns=["repeat", "fold", "run", "epoch"])
    return {arm: epochs.assign(train_loss=rng.random(len(rows))) for arm in arms}


def mels(count, frames=40):
    rng = np.random.default_rng(count)
    return {
        emotion: [rng.uniform(-80, 0, (16, frames)).astype(np.float16) for _ in range(count)] for emotion in EMOTIONS
    }


def points(emotions=6, speakers=34, count=120):
    rng = np.random.default_rng(0)
    tables = []
    for kind in ("training", "held-out", "synthetic"):
        columns = {"kind": kind, "emotion": [f"emotion {number % emotions}" for number in range(count)]}
        columns["speaker"] = (
            "" if kind == "synthetic" else [f"speaker-{number % speakers:02}" for number in range(count)]
        )
        positions = pd.DataFrame(rng.normal(size=(count, 4)), columns=["pca_1", "pca_2", "tsne_1", "tsne_2"])
        tables.append(positions.assign(**columns))
    return pd.concat(tables, ignore_index=True)


def texts(figure):
    figure.draw_without_rendering()
    return [
        text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_visible()
    ]


DRAWN = {
    "ua": lambda: figures.ua(comparison()),
    "recall": lambda: figures.recall(comparison()),
    "confusion": lambda: figures.confusion(comparison()),
    "calibration": lambda: figures.calibration(comparison()),
    "learning_curves": lambda: figures.learning_curves(histories(), "n = 36"),
    "gallery": lambda: figures.gallery(mels(2), mels(3), "Gallery", hop=256, sample_rate=22050),
    "overview": lambda: overview.figure(comparison(), "vae", "augmented", mels(2), mels(3)),
    "embeddings": lambda: figures.embeddings(points(), "Embeddings", "n = 360"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_same_figure_same_bytes(name, tmp_path):
    for path in (tmp_path / "a.png", tmp_path / "b.png"):
        figures.save(DRAWN[name](), path)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize("name", ["ua", "recall", "confusion", "learning_curves"])
def test_every_arm_is_named(name):
    assert set(ARMS) <= set(texts(DRAWN[name]()))


def test_ua_marks_value_and_interval():
    details = comparison()
    axes = figures.ua(details).axes[0]
    estimate = details["arms"]["baseline"]["overall"]["ua"]
    container = axes.containers[0]
    assert container[0].get_xdata() == [estimate["value"]]
    bar = container[2][0].get_segments()[0]
    np.testing.assert_allclose(bar[:, 0], [estimate["low"], estimate["high"]])
    assert len(axes.containers) == len(ARMS) * 3  # overall and two corpora


def test_figures_of_one_arm_one_corpus_one_speaker():
    details = comparison(["baseline"], ["demo"], 1)
    for draw in (figures.ua, figures.recall, figures.confusion, figures.calibration):
        assert any("says nothing about people" in text.replace("\n", " ") for text in texts(draw(details)))
    figures.learning_curves(histories(["baseline"]), "").draw_without_rendering()


@pytest.mark.parametrize(
    "runs, expected", [(1, "intervals over speakers[;.]"), (3, "over speakers and runs[;.].* 3 runs;")]
)
def test_bars_say_what_they_cover(runs, expected):
    for draw in (figures.ua, figures.recall):
        captions = [text.replace("\n", " ") for text in texts(draw(comparison(runs=runs)))]
        assert any(re.search(expected, text) for text in captions)


def test_calibration_draws_every_bin_and_every_share():
    details = comparison(runs=2)
    curves, kept = figures.calibration(details).axes
    for number, arm in enumerate(ARMS):
        measured = details["arms"][arm]["calibration"]
        np.testing.assert_allclose(
            curves.lines[1 + number].get_xydata(),
            [[one["confidence"], one["accuracy"]] for one in measured["reliability"] if one["share"] >= 0.01],
        )
        np.testing.assert_allclose(
            kept.lines[number].get_xydata(), [[one["kept"], one["accuracy"]] for one in measured["rejection"]]
        )
        assert any(f"{arm} ({100 * measured['ece']:.1f})" == text for text in texts(curves.figure))


def test_confusion_rows_are_in_per_cent():
    details = comparison(["baseline"])
    image = figures.confusion(details).axes[0].images[0].get_array()
    counts = np.array(details["arms"]["baseline"]["confusion"])
    np.testing.assert_allclose(image, 100 * counts / counts.sum(axis=1, keepdims=True))


def test_learning_curves_draw_the_loss_of_each_training_and_the_mean():
    drawn = histories(["baseline"])
    (axes,) = figures.learning_curves(drawn, "").axes
    losses = drawn["baseline"]["train_loss"].to_numpy().reshape(4, 5)
    np.testing.assert_allclose([line.get_ydata() for line in axes.lines], [*losses, losses.mean(axis=0)])


def test_the_overview_shows_the_arms_that_matter_and_what_the_generator_added():
    shown = texts(DRAWN["overview"]())
    gain = comparison()["arms"]["vae"]["against"]["augmented"]["ua"]
    assert {"real", "generated", *EMOTIONS, "baseline", "augmented", "vae"} <= set(shown)
    assert f"{tables.percent(gain, '+')} points over augmented" in shown and "masked" not in shown


def test_the_overview_of_a_generator_that_builds_on_the_baseline():
    shown = texts(overview.figure(comparison(), "vae", "baseline", mels(1), mels(1)))
    assert shown.count("baseline") == 1


def test_gallery_keeps_sides_apart_and_shows_seconds():
    figure = figures.gallery(mels(2), mels(3, frames=80), "Gallery", hop=100, sample_rate=1000, caption="fold 0")
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(images) == 3 * (2 + 3)
    assert images[0].get_extent()[1] == 4.0 and images[2].get_extent()[1] == 8.0
    assert all(image.get_array().max() == 0 and image.get_clim() == (-80, 0) for image in images)
    shown = texts(figure)
    assert {"real", "synthetic", *EMOTIONS} <= set(shown)
    assert any("fold 0" in text for text in shown)


def test_gallery_of_uneven_sides():
    real = mels(2)
    synthetic = {"anger": mels(1)["anger"]}
    figure = figures.gallery(real, synthetic, "Gallery", hop=256, sample_rate=22050)
    assert sum(len(axes.images) for axes in figure.axes[:12]) == 7


def test_every_point_is_drawn_by_emotion_and_by_speaker():
    table = points()
    figure = figures.embeddings(table, "Embeddings", "n = 360")
    assert [sum(len(line.get_xdata()) for line in axes.lines) for axes in figure.axes] == [len(table)] * 4
    drawn = np.sort(np.concatenate([line.get_ydata() for line in figure.axes[3].lines]))
    np.testing.assert_array_equal(drawn, np.sort(table["tsne_2"]))
    assert {"training", "held-out", "synthetic", *table["emotion"], *table["speaker"]} - {""} <= set(texts(figure))


def test_34_speakers_are_told_apart_and_synthetic_clips_from_them_all():
    lines = figures.embeddings(points(), "Embeddings", "").axes[1].lines
    looks = {(line.get_marker(), line.get_markeredgecolor(), line.get_markerfacecolor()) for line in lines}
    assert len(lines) == len(looks) == 1 + 34


def test_emotions_and_kinds_are_told_apart():
    lines = figures.embeddings(points(emotions=9), "Embeddings", "").axes[0].lines
    looks = {(line.get_marker(), line.get_markeredgecolor(), line.get_markerfacecolor()) for line in lines}
    assert len(lines) == len(looks) == 3 * 9


def test_quality_shows_folds_mean_and_reference(quality):
    figure = figures.quality(quality)
    assert {"diffusion", "vae", "synthetic, mean of folds", "real, mean of folds"} <= set(texts(figure))
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    drawn = [(line.get_xdata(), line.get_ydata()) for line in panels["coverage %"].lines[:3]]
    for (x, y), expected in zip(
        drawn,
        (
            [100 * fold["synthetic"]["coverage"] for fold in quality["diffusion"]["folds"]],
            [100 * quality["diffusion"]["reference"]["coverage"]],
            [100 * quality["diffusion"]["synthetic"]["coverage"]],
        ),
    ):
        np.testing.assert_allclose(x, expected)
        assert set(y) == {0}
    assert [len(line.get_xdata()) for line in panels["kernel"].lines] == [2, 1, 1, 1, 1, 0]


def test_quality_of_no_generator_says_so():
    assert "No generators in this study." in texts(figures.quality({}))
