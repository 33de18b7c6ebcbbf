"""Compare the arms: the table, its intervals and paired differences, and the plots."""

import json
from pathlib import Path

from pydantic import NonNegativeInt, PositiveInt

from ser import catalogue, figures, params, scores
from ser.errors import InputError
from ser.runtime import replacing, stage


def main():
    emotions = params.read("emotions", list[str])
    makers = {arm: f"train@{arm}" for arm in params.read("arms.names", list[str])}
    makers |= {arm: f"retrain@{arm}" for arm in params.read("generators.names", list[str])}
    predictions = {arm: scores.read_predictions(result("predictions", arm, maker), emotions)
                   for arm, maker in makers.items()}
    histories = {arm: scores.read_history(result("history", arm, maker)) for arm, maker in makers.items()}
    summary, details = scores.compare(
        predictions, catalogue.load("data/catalogue.csv"), emotions,
        protocol=params.read("split.protocol", str),
        resamples=params.read("compare.resamples", PositiveInt),
        seed=params.read("seed", NonNegativeInt))

    write_json("metrics/compare.json", summary)
    write_json("metrics/details.json", details)
    with replacing("plots/learning_curves.csv") as temporary:
        scores.learning_curves(histories).to_csv(temporary, index=False, float_format="%.6f")
    figures.save(figures.ua(details), "plots/ua.png")
    figures.save(figures.recall(details), "plots/recall.png")
    figures.save(figures.confusion(details), "plots/confusion.png")
    figures.save(figures.learning_curves(histories, scores.caption(details)), "plots/learning_curves.png")
    print(scores.table(summary, details))


def result(kind, arm, maker):
    """The path of an arm's result, which must be there."""
    path = Path("metrics") / kind / f"{arm}.csv"
    if not path.is_file():
        raise InputError(f"{path} is missing: arm '{arm}' has no results yet; "
                         f"make them with `dvc repro {maker}`")
    return path


def write_json(path, values):
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    stage(main)
