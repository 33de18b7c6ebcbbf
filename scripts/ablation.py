"""Settle a question on validation speakers alone: `python -m scripts.ablation NAME`.

experiments/ablations/NAME.yaml names the `arm` whose training is measured, what is `given` and the `candidates`, both
as overrides of params.yaml. Each candidate is trained next to the workspace, as the DVC experiment ablation-NAME-1 and
so on, no further than that arm. Speakers of the training part of every fold are held out for that (`named.HELD_OUT`);
the study itself trains on them. What counts is the UA on them at the end of training, averaged over runs: only
metrics/curves is read of an experiment. Predictions for test speakers are never opened. After each candidate,
metrics/ablations/NAME.json has everything that was measured so far.
"""

import argparse
import io
from pathlib import Path
from statistics import mean
from typing import Any

import dvc.api
import pandas as pd

from scripts import copies, kept_metrics, named, study_tables
from scripts.overrides import merged
from ser.core import params, preconditions
from ser.core.errors import InputError
from ser.core.stage import stage
from ser.reporting import tables


def main() -> None:
    """Measure the ablation that the command line names."""
    ablations = named.ablations()
    parser = argparse.ArgumentParser("python -m scripts.ablation", description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=ablations, metavar="NAME", help=", ".join(ablations))
    name = parser.parse_args().name
    preconditions.check_clone(Path.cwd())
    measure(name, ablations[name])


def measure(name: str, ablation: named.Ablation) -> None:
    """Measure every candidate, print a line for each and keep it in metrics/ablations/NAME.json."""
    from ser import schema  # which loads PyTorch

    current = params.load()
    settings = [merged(current, merged(ablation.given, changes)) for changes in ablation.candidates.values()]
    for candidate in settings:
        schema.check(candidate)
    stages = [training_stage(ablation.arm, candidate["study"]) for candidate in settings]
    split = settings[0]["split"]
    results: dict[str, Any] = {
        "question": ablation.question,
        "command": f"python -m scripts.ablation {name}",
        "given": ablation.given,
        "protocol": f"UA on validation speakers ({split['validation']:.0%} of those of the training part) after the "
        f"last epoch, {tables.PROTOCOLS[split['protocol']]}.",
        "repeats": split["repeats"],
        "candidates": {},
    }
    for number, (label, changes) in enumerate(ablation.candidates.items()):
        experiment = f"ablation-{name}-{number + 1}"
        copies.run(experiment, merged(ablation.given, changes), stages[number])
        measured = params.parse(dvc.api.read("params.yaml", rev=experiment), f"params.yaml of {experiment}")
        if measured != settings[number]:
            raise InputError(f"params.yaml was changed while {label!r} was measured; restore it and start again")
        curves = pd.read_csv(io.StringIO(dvc.api.read(f"metrics/curves/{ablation.arm}.csv", rev=experiment)))
        last = curves[curves["epoch"] == curves["epoch"].max()]
        results["candidates"][label] = {
            "changes": changes,
            "ua": last.groupby(["repeat", "fold"])["validation_ua"].mean().tolist(),
        }
        kept_metrics.write(kept_metrics.ABLATIONS / f"{name}.json", results)
        print(line(label, results["candidates"]), flush=True)


def training_stage(arm: str, study: dict[str, Any]) -> str:
    """Return the stage of dvc.yaml that trains the arm."""
    if arm in study["arms"]:
        return f"train@{arm}"
    if arm in study["generators"]:
        return f"train_synthetic@{arm}"
    raise InputError(f"key `arm`: {arm} is neither in `study.arms` nor in `study.generators`")


def line(label: str, candidates: dict[str, Any]) -> str:
    """Return the mean UA of a candidate and its gain over the first one, paired by fold, with the standard error."""
    ua, first = candidates[label]["ua"], next(iter(candidates.values()))["ua"]
    gain = f", {study_tables.paired(ua, first)}" if len(candidates) > 1 else ""
    return f"{label}: UA {100 * mean(ua):.1f}{gain}"


if __name__ == "__main__":
    stage(main)
