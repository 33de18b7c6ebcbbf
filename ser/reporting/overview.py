"""The study at a glance: what the clips of a generator look like, and what training with them did."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ser.reporting import figures, tables
from ser.reporting.gallery import MelsByEmotion

SHOWN = 3  # emotions


@figures.styled
def figure(
    details: dict[str, Any],  # what metrics/details.json holds
    generator: str,
    build_on: str,  # the arm on real clips that its arm builds on
    real: MelsByEmotion,
    synthetic: MelsByEmotion,
) -> Figure:
    """Real above generated clips of a few emotions, and beside them the UA of the arms that matter."""
    drawn = Figure(figsize=(figures.WIDTH, 3.6), layout="constrained")
    names = list(real)
    shown = [names[place] for place in np.unique(np.linspace(0, len(names) - 1, SHOWN).round().astype(int))]
    sides = {"real": real, "generated": synthetic}
    grid = drawn.subplot_mosaic(
        [[*(f"{side} {emotion}" for emotion in shown), "arms"] for side in sides],
        width_ratios=[*[1] * len(shown), 2.4],
    )
    for side, mels in sides.items():
        for emotion in shown:
            _mel(grid[f"{side} {emotion}"], mels[emotion][0])
            grid[f"real {emotion}"].set_title(emotion)
        grid[f"{side} {shown[0]}"].set_ylabel(side, fontweight="bold")
    arms = dict.fromkeys(arm for arm in ("baseline", build_on, generator) if arm in details["arms"])
    _arms(grid["arms"], {arm: details["arms"][arm]["overall"]["ua"] for arm in arms}, generator)
    against = details["arms"][generator]["against"].get(build_on)
    outcome = f"{tables.percent(against['ua'], '+')} points over {build_on}" if against else "emotions recognised"
    grid["arms"].set_title(outcome, loc="right")
    return figures.titled(
        drawn,
        f"Clips of {generator}, and what training with them did",
        "Left: mel spectrograms of training clips of the first fold and of clips generated from them, not chosen by "
        f"hand. Right: UA, the mean recall over emotions, with 95 % intervals {tables.sampled(details)}. "
        f"{tables.caption(details)}",
    )


def _mel(axes: Axes, mel: np.ndarray) -> None:
    decibels = np.asarray(mel, dtype=np.float32)
    axes.imshow(decibels - decibels.max(), "magma", vmin=-80, vmax=0, origin="lower", aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _arms(axes: Axes, ua_of: Mapping[str, Any], generator: str) -> None:
    for row, (arm, estimate) in enumerate(ua_of.items()):
        figures.headline(axes, estimate, row, figures.COLOURS[2 if arm == generator else 0], label=arm)
    axes.set_yticks(range(len(ua_of)), ua_of)
    axes.set_ylim(len(ua_of) - 0.5, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(figures.per_cent)
    axes.grid(axis="x")
