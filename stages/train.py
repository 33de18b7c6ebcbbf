"""An arm: its classifiers, predictions and curves (models/arms, metrics/predictions, metrics/curves)."""

import sys

from pydantic import NonNegativeInt

from ser.core import params
from ser.core.stage import stage
from ser.data.dataset import load_dataset
from ser.models.classifier import ClassifierSettings
from ser.training import arms
from ser.training.loop import Training


def main(*names):
    for name in names:
        run(name)


def run(arm, generated=None):
    arms.run(
        arm,
        params.read(f"arms.{arm}", arms.Arm),
        load_dataset(params.read("emotions", list[str]), params.read("split.protocol", str)),
        params.read("classifier", ClassifierSettings),
        params.read("training", Training),
        params.read("seed", NonNegativeInt),
        generated,
    )


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
