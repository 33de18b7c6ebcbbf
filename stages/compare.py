"""The arms compared: metrics/compare.json, metrics/details.json, and the tables and plots of the study."""

import json
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt

from ser.core import params
from ser.core.atomic import replacing
from ser.core.stage import stage
from ser.data import manifest
from ser.evaluation.predictions import CONDITIONS, learning_curves, read_curves, read_predictions, result
from ser.evaluation.statistics import compare_arms
from ser.evaluation.study import StudyConfig
from ser.reporting import figures, tables


def main() -> None:
    class_names = params.read("emotions", list[str])
    study = params.read("study", StudyConfig)
    stage_of = study.stage_of
    predictions = {
        arm: read_predictions(result(f"metrics/predictions/{arm}.csv", arm, stage_of[arm]), class_names)
        for arm in stage_of
    }
    histories = {arm: read_curves(result(f"metrics/curves/{arm}.csv", arm, stage_of[arm])) for arm in stage_of}
    quality = {
        name: json.loads(Path(result(f"metrics/quality/{name}.json", name, f"sample_quality@{name}")).read_text())
        for name in study.generators
    }
    enhanced_predictions = {"baseline": predictions["baseline"]} | {
        f"{name}, {title}": read_predictions(
            result(f"metrics/enhanced/{name}/{condition}.csv", name, f"enhance@{name}"), class_names
        )
        for name in study.enhanced
        for condition, title in CONDITIONS.items()
    }
    catalogue, protocol = manifest.load("data/catalogue.csv"), params.read("split.protocol", str)
    seed = params.read("seed", NonNegativeInt)
    summary, details = compare_arms(predictions, catalogue, class_names, protocol, study.resamples, seed)
    enhanced_summary, enhanced_details = compare_arms(
        enhanced_predictions, catalogue, class_names, protocol, study.resamples, seed
    )

    _write_json("metrics/compare.json", summary)
    _write_json("metrics/enhanced.json", enhanced_summary)
    _write_json("metrics/details.json", details | {"quality": quality, "enhanced": enhanced_details})
    with replacing("plots/learning_curves.csv") as temporary:
        learning_curves(histories).to_csv(temporary, index=False, float_format="%.6f")
    figures.save(figures.ua(details), "plots/ua.png")
    figures.save(figures.recall(details), "plots/recall.png")
    figures.save(figures.confusion(details), "plots/confusion.png")
    figures.save(figures.calibration(details), "plots/calibration.png")
    figures.save(figures.learning_curves(histories, tables.caption(details)), "plots/learning_curves.png")
    figures.save(figures.quality(quality), "plots/quality.png")
    figures.save(figures.enhanced(enhanced_details), "plots/enhanced.png")
    print(tables.table(details))
    if quality:
        print("\n" + tables.quality_table(quality))
    if study.enhanced:
        print(f"\n{tables.table(enhanced_details)}\n\n{tables.ENHANCED_NOTE}")


def _write_json(path: str, values: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    stage(main)
