"""Settle a question by validation speakers alone: `python -m scripts.ablation NAME`.

experiments/choices/NAME.yaml begins with the question as a comment, then names the `arm` whose training is looked at,
what is `given` and the `candidates`, both as overrides of params.yaml. Each candidate is trained beside the workspace,
as the DVC experiment choice-NAME-1 and so on, no further than that arm. Of every fold counts the UA on validation
speakers at the epoch that training chose: metrics/curves is all that is read of an experiment. What was predicted for
test speakers is never opened. After each candidate, metrics/choices/NAME.json has all that was measured so far.
"""

import argparse
import io
import json
from pathlib import Path
from statistics import mean

import dvc.api
import pandas as pd
import yaml

from scripts import study_tables
from scripts.named import run
from scripts.overrides import merged
from ser import schema
from ser.core import params
from ser.core.atomic import replacing
from ser.core.errors import InputError
from ser.core.stage import stage
from ser.reporting import tables

CHOICES = Path(__file__).parents[1] / "experiments/choices"


def main():
    names = sorted(path.stem for path in CHOICES.glob("*.yaml"))
    parser = argparse.ArgumentParser("python -m scripts.ablation", description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=names)
    choose(parser.parse_args().name)


def choose(name):
    """Measure every candidate of the choice, print a line for each and keep it in metrics/choices/NAME.json."""
    question, arm, given, candidates = load(name)
    settings = params.load()
    wholes = [merged(settings, merged(given, changes)) for changes in candidates.values()]
    for whole in wholes:
        schema.check(whole)
    training = [training_stage(arm, whole["study"]) for whole in wholes]
    split = wholes[0]["split"]
    results = {
        "question": question,
        "command": f"python -m scripts.ablation {name}",
        "given": given,
        "protocol": f"UA on the validation speakers of every fold, {tables.PROTOCOLS[split['protocol']]}.",
        "repeats": split["repeats"],
        "candidates": {},
    }
    for number, (label, changes) in enumerate(candidates.items()):
        experiment = f"choice-{name}-{number + 1}"
        run(experiment, merged(given, changes), training[number])
        if yaml.safe_load(dvc.api.read("params.yaml", rev=experiment)) != wholes[number]:
            raise InputError(f"params.yaml was changed while {label!r} was measured; restore it and choose again")
        curves = pd.read_csv(io.StringIO(dvc.api.read(f"metrics/curves/{arm}.csv", rev=experiment)))
        best = chosen(curves)
        results["candidates"][label] = {
            "changes": changes,
            "ua": best["validation_ua"].tolist(),
            "epoch": best["epoch"].tolist(),
        }
        with replacing(f"metrics/choices/{name}.json") as temporary:
            temporary.write_text(json.dumps(results, indent=1) + "\n")
        print(line(label, results["candidates"]), flush=True)


def load(name):
    """What experiments/choices/NAME.yaml asks: the question, the arm, what is given, and `{label: changes}`."""
    text = (CHOICES / f"{name}.yaml").read_text()
    choice = yaml.safe_load(text)
    candidates = {str(label): changes for label, changes in choice["candidates"].items()}
    return text.split("\n")[0].removeprefix("# "), choice["arm"], choice.get("given", {}), candidates


def training_stage(arm, study):
    """The stage of dvc.yaml that trains the arm."""
    if arm in study["arms"]:
        return f"train@{arm}"
    if arm in study["generators"]:
        return f"retrain@{arm}"
    raise InputError(f"key `arm`: {arm} is neither in `study.arms` nor in `study.generators`")


def chosen(curves):
    """The row of every (repeat, fold) whose epoch training chose: the best validation UA, of equals the lowest
    validation loss, of equals the first (ser/training.py)."""
    order = curves.sort_values(["validation_ua", "validation_loss", "epoch"], ascending=[False, True, True])
    return order.groupby(["repeat", "fold"]).head(1).sort_values(["repeat", "fold"])


def line(label, candidates):
    """Mean UA of a candidate in per cent, and what it gains over the first, fold by fold, with the standard error."""
    ua, first = candidates[label]["ua"], next(iter(candidates.values()))["ua"]
    gain = f", {study_tables.paired(ua, first)}" if len(candidates) > 1 else ""
    return f"{label}: UA {100 * mean(ua):.1f}{gain}"


if __name__ == "__main__":
    stage(main)
