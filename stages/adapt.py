"""The speaker-adapted protocol: metrics/adapted.json, plots/adapted.png and tables.

Its results are not comparable with the headline (see docs/adaptation.md).
"""

import json

from pydantic import NonNegativeInt

from ser.core import params
from ser.core.atomic import replacing
from ser.core.stage import stage
from ser.data import manifest
from ser.evaluation.adaptation import speaker_adapted
from ser.evaluation.predictions import read_predictions, result
from ser.evaluation.study import StudyConfig
from ser.reporting import adaptation, figures


def main() -> None:
    class_names = params.read("emotions", list[str])
    study = params.read("study", StudyConfig)
    predictions = {
        arm: read_predictions(result(f"metrics/predictions/{arm}.csv", arm, stage_name), class_names)
        for arm, stage_name in study.stage_of.items()
    }
    adapted = speaker_adapted(
        predictions,
        manifest.load("data/catalogue.csv"),
        class_names,
        params.read("split.protocol", str),
        study.resamples,
        params.read("seed", NonNegativeInt),
    )
    with replacing("metrics/adapted.json") as temporary:
        temporary.write_text(json.dumps(adapted, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    figures.save(adaptation.figure(adapted), "plots/adapted.png")
    print(adaptation.table(adapted))


if __name__ == "__main__":
    stage(main)
