"""The arms compared: metrics/compare.json, metrics/details.json, the table and the plots of the study."""

import json
from pathlib import Path

from pydantic import NonNegativeInt

from ser.core import params
from ser.core.atomic import replacing
from ser.core.errors import InputError
from ser.core.stage import stage
from ser.data import manifest
from ser.evaluation.predictions import CONDITIONS, learning_curves, read_curves, read_predictions
from ser.evaluation.statistics import StudyConfig, compare_arms
from ser.reporting import figures, tables


def main():
    emotions = params.read("emotions", list[str])
    study = params.read("study", StudyConfig)
    makers = {arm: f"train@{arm}" for arm in study.arms} | {arm: f"train_synthetic@{arm}" for arm in study.generators}
    predictions = {
        arm: read_predictions(_result(f"metrics/predictions/{arm}.csv", arm, maker), emotions)
        for arm, maker in makers.items()
    }
    curves = {arm: read_curves(_result(f"metrics/curves/{arm}.csv", arm, maker)) for arm, maker in makers.items()}
    quality = {
        name: json.loads(Path(_result(f"metrics/quality/{name}.json", name, f"sample_quality@{name}")).read_text())
        for name in study.generators
    }
    enhanced = {
        f"{name}, {title}": read_predictions(
            _result(f"metrics/enhanced/{name}/{condition}.csv", name, f"enhance@{name}"), emotions
        )
        for name in study.enhanced
        for condition, title in CONDITIONS.items()
    }
    table, protocol = manifest.load("data/catalogue.csv"), params.read("split.protocol", str)
    drawn = {"resamples": study.resamples, "seed": params.read("seed", NonNegativeInt)}
    summary, details = compare_arms(predictions, table, emotions, protocol, **drawn)
    enhanced = {"baseline": predictions["baseline"]} | enhanced
    enhanced_summary, enhanced_details = compare_arms(enhanced, table, emotions, protocol, **drawn)

    _write_json("metrics/compare.json", summary)
    _write_json("metrics/enhanced.json", enhanced_summary)
    _write_json("metrics/details.json", details | {"quality": quality, "enhanced": enhanced_details})
    with replacing("plots/learning_curves.csv") as temporary:
        learning_curves(curves).to_csv(temporary, index=False, float_format="%.6f")
    figures.save(figures.ua(details), "plots/ua.png")
    figures.save(figures.recall(details), "plots/recall.png")
    figures.save(figures.confusion(details), "plots/confusion.png")
    figures.save(figures.learning_curves(curves, tables.caption(details)), "plots/learning_curves.png")
    figures.save(figures.quality(quality), "plots/quality.png")
    figures.save(figures.enhanced(enhanced_details), "plots/enhanced.png")
    print(tables.table(details))
    if quality:
        print("\n" + tables.quality_table(quality))
    if study.enhanced:
        print(f"\n{tables.table(enhanced_details)}\n\n{tables.ENHANCED_NOTE}")


def _result(path, arm, maker):
    if not Path(path).exists():
        raise InputError(f"{path} is missing: arm '{arm}' has no results yet; make them with `dvc repro {maker}`")
    return path


def _write_json(path, values):
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    stage(main)
