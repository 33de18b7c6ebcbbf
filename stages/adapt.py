"""The speaker-adapted protocol: metrics/adapted.json, plots/adapted.png and tables.

Its results are not comparable with the headline (see docs/adaptation.md).
"""

import json
from pathlib import Path

from pydantic import NonNegativeInt

from ser.core import params
from ser.core.atomic import replacing
from ser.core.errors import InputError
from ser.core.stage import stage
from ser.data import manifest
from ser.evaluation.adaptation import speaker_adapted
from ser.evaluation.predictions import read_predictions
from ser.evaluation.study import StudyConfig
from ser.reporting import adaptation, figures


def main() -> None:
    class_names = params.read("emotions", list[str])
    study = params.read("study", StudyConfig)
    stage_of = {arm: f"train@{arm}" for arm in study.arms} | {arm: f"train_synthetic@{arm}" for arm in study.generators}
    predictions = {}
    for arm, stage_name in stage_of.items():
        path = Path(f"metrics/predictions/{arm}.csv")
        if not path.exists():
            raise InputError(
                f"{path} is missing: arm '{arm}' has no results yet; make them with `dvc repro {stage_name}`"
            )
        predictions[arm] = read_predictions(path, class_names)
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
