"""The arms compared: metrics/compare.json, metrics/details.json, and the tables and plots of the study."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import NonNegativeInt

from ser.core import params
from ser.core.atomic import replacing
from ser.core.stage import stage
from ser.data import manifest
from ser.evaluation.fusion import fused
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
    catalogue, protocol = manifest.load("data/catalogue.csv"), params.read("split.protocol", str)
    drawn = {"resamples": study.resamples, "seed": params.read("seed", NonNegativeInt)}
    summaries, details = {}, {}
    for name, arms in {
        "compare": predictions,
        "enhanced": _enhanced(study, predictions, class_names),
        "fused": _fused(study, predictions, class_names),
    }.items():
        summaries[name], details[name] = compare_arms(arms, catalogue, class_names, protocol, **drawn)

    for name, summary in summaries.items():
        _write_json(f"metrics/{name}.json", summary)
    others = {name: details[name] for name in ("enhanced", "fused")}
    study_details = details["compare"] | {"quality": quality, **others}
    _write_json("metrics/details.json", study_details)
    with replacing("plots/learning_curves.csv") as temporary:
        learning_curves(histories).to_csv(temporary, index=False, float_format="%.6f")
    figures.save(figures.ua(study_details), "plots/ua.png")
    figures.save(figures.recall(study_details), "plots/recall.png")
    figures.save(figures.confusion(study_details), "plots/confusion.png")
    figures.save(figures.calibration(study_details), "plots/calibration.png")
    figures.save(figures.learning_curves(histories, tables.caption(study_details)), "plots/learning_curves.png")
    figures.save(figures.quality(quality), "plots/quality.png")
    figures.save(figures.enhanced(details["enhanced"]), "plots/enhanced.png")
    figures.save(figures.fused(details["fused"]), "plots/fused.png")
    for title, table in tables.sections(study_details):
        print(f"{title}\n\n{table}\n")


def _enhanced(
    study: StudyConfig, predictions: Mapping[str, pd.DataFrame], class_names: list[str]
) -> dict[str, pd.DataFrame]:
    """The baseline on test clips as recorded and as enhanced."""
    return {"baseline": predictions["baseline"]} | {
        f"{name}, {title}": read_predictions(
            result(f"metrics/enhanced/{name}/{condition}.csv", name, f"enhance@{name}"), class_names
        )
        for name in study.enhanced
        for condition, title in CONDITIONS.items()
    }


def _fused(
    study: StudyConfig, predictions: Mapping[str, pd.DataFrame], class_names: list[str]
) -> dict[str, pd.DataFrame]:
    """Generators as classifiers, alone and fused with the networks that they build on; as a control, other networks."""
    if not study.recognising:
        return {"baseline": predictions["baseline"]}
    own = study.build_on
    first = predictions[own]
    arms = {own: first}
    arms |= {f"{own} + {arm}": fused(first, predictions[arm], class_names) for arm in study.arms if arm != own}
    for name in study.recognising:
        path = result(f"metrics/recognised/{name}.csv", name, f"recognise@{name}")
        recognised = read_predictions(path, class_names)
        arms[f"{name} itself"] = pd.concat([recognised.assign(run=run) for run in first["run"].unique()])
        arms[f"{own} + {name} itself"] = fused(first, recognised, class_names)
    return arms


def _write_json(path: str, values: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    stage(main)
