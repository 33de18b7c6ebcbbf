"""The study at a glance, for one generator: plots/overview/GENERATOR.png."""

import json
import sys
from pathlib import Path

from ser.core import params
from ser.core.stage import stage
from ser.data.dataset import load_dataset
from ser.evaluation.predictions import result
from ser.reporting import figures, gallery, overview


def main(generator: str) -> None:
    details = json.loads(Path(result("metrics/details.json", generator, "compare")).read_text(encoding="utf-8"))
    dataset = load_dataset(params.read("emotions", list[str]), params.read("split.protocol", str))
    figure = overview.figure(
        details,
        generator,
        params.read("study.build_on", str),
        gallery.real_mels(dataset),
        gallery.synthetic_mels(dataset, generator),
    )
    figures.save(figure, f"plots/overview/{generator}.png")


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
