"""The study as one picture: what moves UA, by how many points, and what of it leaks."""

from typing import NamedTuple

from matplotlib.figure import Figure

from scripts import study_tables
from scripts.leakage_figure import HONEST, LEAKING
from scripts.study_tables import Details
from ser.evaluation.statistics import Estimate
from ser.reporting import figures, tables

LEAKS = " (leaks)"  # at the end of the name of an arm of the enhancement


class Effect(NamedTuple):
    what: str
    gain: Estimate  # in UA
    leaks: bool = False


def effects(default: Details, random: Details, noise: Details, fusion: Details) -> list[Effect]:
    """The effects to show, in order, from the details of the default run, of two experiments and of the fusion.

    `random` is the run under a random split, `noise` that of the enhancement from noise alone.
    """
    apart, leaking = study_tables.inflation(default, random)["baseline"]
    arms, enhanced = default["arms"], noise["enhanced"]["arms"]
    inflation: Estimate = {"value": leaking["value"] - apart["value"], "low": None, "high": None}
    shown = [Effect("clips split at random", inflation, leaks=True)]
    shown += [
        Effect(f"test clips from noise: {arm.removesuffix(LEAKS)}", result["against"]["baseline"]["ua"], LEAKS in arm)
        for arm, result in enhanced.items()
        if "baseline" in result["against"] and "no label" not in arm
    ]
    shown += [
        Effect(f"augmentation: {arm}", arms[arm]["against"]["baseline"]["ua"])
        for arm in ("masked", "augmented")
        if arm in arms
    ]
    shown += [
        Effect(f"augmented + clips of {arm}", arms[arm]["against"]["augmented"]["ua"]) for arm in default["quality"]
    ]
    shown += [
        Effect(f"fused: {arm}", result["against"]["augmented"]["ua"])
        for arm, result in default["fused"]["arms"].items()
        if " + " in arm
    ]
    return [*shown, Effect("fused: augmented + openSMILE", fusion["arms"]["fused"]["against"]["augmented"]["ua"])]


@figures.styled
def picture(default: Details, random: Details, noise: Details, fusion: Details) -> Figure:
    """Draw one row per effect: the gain in points with its interval, in another colour where it leaks."""
    shown = effects(default, random, noise, fusion)
    figure = Figure(figsize=(figures.WIDTH, 1.7 + 0.34 * len(shown)), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(shown)), [effect.what for effect in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.axvline(0, color=figures.COLOURS[0], linewidth=1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:+.0f}" if value else "0")
    axes.set_xlabel("gain in UA, points")
    axes.grid(axis="x")
    for row, (_, gain, leaks) in enumerate(shown):
        colour, marker = (LEAKING, "D") if leaks else (HONEST, "o")
        label = "leaks: knows the test speaker or the label" if leaks else "does not"
        figures.interval(axes, gain, row, colour, marker, size=8, width=2, label=label, horizontal=True)
        axes.annotate(
            f"{100 * gain['value']:+.1f}",
            (gain["value"], row),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=colour,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
    figures.legend(axes)
    return figures.titled(
        figure,
        "What leaks moves the figure most",
        f"Bars: 95 % intervals {tables.sampled(default)}; the random split is another run, without one. The first rows "
        "and augmentation are compared with baseline, the others with augmented. "
        f"{tables.caption(default)}",
    )
