"""Tables of the study as Markdown, from the `details` of runs; UA in per cent, differences in points of UA.

`details` is what metrics/details.json holds of a run (ser/evaluation/statistics.py).
"""

import math
from collections.abc import Sequence
from itertools import chain
from statistics import mean, stdev
from typing import Any, NamedTuple

from scripts import named
from scripts.named import Experiment, Replication
from ser.evaluation.statistics import PLANNED_RUNS, REFERENCES, Estimate, comparisons, holm
from ser.reporting import tables

Details = dict[str, Any]
# Goals set before the study: gain in UA of the best generator of the default run over another arm, in points.
GAINS = {"baseline": 5.0, "augmented": 2.0}


class Planned(NamedTuple):
    """An experiment or ablation that can be run."""

    hours: float | None  # on 2 CPU cores; None: not timed
    command: str


def run(details: Details, arms: Sequence[str] = ()) -> str:
    """Return one row per arm, and what was measured.

    A row has the UA, that of the ensemble where there are several runs, the differences from reference arms with p
    values, and the UA on each corpus where there are several. `arms` are all that the study has, in order; one without
    results has a row that says so.
    """
    names = list(dict.fromkeys([*arms, *details["arms"]]))
    references = [reference for reference, others in comparisons(list(details["arms"])).items() if others]
    runs, corpora = tables.n_runs(details), list(details["corpora"]) if len(details["corpora"]) > 1 else []
    ensemble = [f"UA, ensemble of {runs}"] if runs > 1 else []
    rows = [["arm", "UA", *ensemble, *(f"vs {name}, p" for name in references), *corpora]]
    for arm in names:
        if (metrics := details["arms"].get(arm)) is None:
            rows.append([arm, "not run yet", *[""] * (len(rows[0]) - 2)])
            continue
        against = [metrics["against"].get(name) for name in references]
        rows.append(
            [
                arm,
                tables.percent(metrics["overall"]["ua"]),
                *(tables.percent(metrics["ensemble"]["overall"]["ua"]) for _ in ensemble),
                *(f"{tables.percent(d['ua'], '+')}, {tables.p_value(d['p_corrected'])}" if d else "" for d in against),
                *(tables.percent(metrics["corpora"][corpus]["ua"]) for corpus in corpora),
            ]
        )
    return f"{tables.markdown(rows)}\n\n{tables.caption(details)}"


def numbers_of_runs(details: Details) -> str:
    """Return the smallest gain over `augmented` that each arm could have shown, by the number of runs, in points."""
    if tables.n_runs(details) == 1:
        return "With one run, nothing is known about the variance between runs."
    numbers = [str(runs) for runs in PLANNED_RUNS]
    rows = [["arm", *(f"{number} runs" if number != "1" else "1 run" for number in numbers)]]
    for arm, metrics in details["arms"].items():
        if difference := metrics["against"].get("augmented"):
            smallest = [difference["detectable_with"][number] for number in numbers]
            rows.append([arm, *("" if gain is None else f"{100 * gain:.1f}" for gain in smallest)])
    return tables.markdown(rows)


def corpora(details: Details) -> str:
    """Return the UA of each arm on each corpus, and its differences from the reference arms there."""
    references = list(comparisons(list(details["arms"])))
    titles = [f"vs {reference}" for reference in references]
    rows = [["arm", *(title for corpus in details["corpora"] for title in (f"{corpus} UA", *titles))]]
    for arm, metrics in details["arms"].items():
        row = [arm]
        for corpus in details["corpora"]:
            row.append(tables.percent(metrics["corpora"][corpus]["ua"]))
            for reference in references:
                against = metrics["against"].get(reference)
                row.append(tables.percent(against["corpora"][corpus]["ua"], "+") if against else "")
        rows.append(row)
    return tables.markdown(rows)


def recalls(details: Details) -> str:
    """Return the recall of each emotion by arm, in per cent."""
    rows = [
        [arm, *(tables.percent(metrics["overall"]["recall"][emotion]) for emotion in details["emotions"])]
        for arm, metrics in details["arms"].items()
    ]
    return tables.markdown([["arm", *details["emotions"]], *rows])


def inflation(apart: Details, random: Details) -> dict[str, tuple[Estimate, Estimate]]:
    """Return {arm: (UA with speakers apart, UA under a random split)} of the arms that both runs have.

    Each UA is an estimate with an interval.
    """
    return {
        arm: (metrics["overall"]["ua"], random["arms"][arm]["overall"]["ua"])
        for arm, metrics in apart["arms"].items()
        if arm in random["arms"]
    }


def published(
    settings: dict[str, Experiment], runs: dict[str, Details], fixed_features: dict[str, dict[str, Details]]
) -> str:
    """Return published results next to ours.

    `settings` has the experiments to show, `runs` the details of those that were run, shown where something was
    published, and `fixed_features` those of each classifier on fixed features on the same folds, {title: {setting:
    details}}, empty where it was not run.
    """
    rows = [["setting", "system", "UA", "WA"]]
    for name, setting in settings.items():
        for other in setting.published:
            rows.append([setting.title, other.system, *("" if x is None else str(x) for x in (other.ua, other.wa))])
        ours = {}
        for title, measured in fixed_features.items():
            if name in measured:
                (arm,) = measured[name]["arms"].values()
                ours[f"{title}, on our folds"] = arm["overall"]
        if name in runs and setting.published:
            ours |= {f"**ours, {arm}**": metrics for arm, metrics in _ours(runs[name]).items()}
        for system, metrics in ours.items():
            rows.append([setting.title, system, tables.percent(metrics["ua"]), tables.percent(metrics["wa"])])
    return tables.markdown(rows)


def replications(asked: dict[str, Replication], runs: dict[str, Details]) -> str:
    """Return accuracies (WA) as published next to those of reduced replications, by arm and split.

    `asked` has the replications by name, `runs` the details of those that were run at reduced size, by names of
    `named.reduced`.
    """
    rows = [["project", "arm", "as published", "split at random (leaks)", "speakers apart"]]
    for name, replication in asked.items():
        study = replication.changes["study"]
        parts = named.reduced(name, replication)
        measured = {part: _accuracies(runs[part]) if part in runs else None for part in parts}
        arms = [*study["arms"], *study["generators"], *replication.accuracies, *chain(*filter(None, measured.values()))]
        for arm in dict.fromkeys(arms):
            cells = ["not run yet" if found is None else found.get(arm, "") for found in measured.values()]
            rows.append([f"`{name}`", arm, replication.accuracies.get(arm, ""), *cells])
    return tables.markdown(rows)


def _accuracies(details: Details) -> dict[str, str]:
    """Return the WA of every arm, and of test clips that a generator enhanced."""
    arms = details["enhanced"]["arms"] | details["arms"]
    return {arm: tables.percent(metrics["overall"]["wa"]) for arm, metrics in arms.items()}


def _ours(details: Details) -> dict[str, Any]:
    """Return the overall metrics of the baseline and of the other arm with the highest UA."""
    others = [arm for arm in details["arms"] if arm != "baseline"]
    overall = {"baseline": details["arms"]["baseline"]["overall"]}
    if others:
        best = _highest(details, others)
        picked = f" (highest of {len(others)} other arms)" if len(others) > 1 else ""
        overall[f"{best}{picked}"] = details["arms"][best]["overall"]
    return overall


def _highest(details: Details, arms: list[str]) -> str:
    return max(arms, key=lambda arm: details["arms"][arm]["overall"]["ua"]["value"])


def goals(settings: dict[str, Experiment], runs: dict[str, Details]) -> str:
    """Return the goals and what was reached.

    `settings` has the experiments with a goal, `runs` the details of those that were run, the default run among them.
    """
    rows = [["goal", "aimed for", "reached", "arm", "distance"]]
    for name, setting in settings.items():
        goal = setting.goal
        if name not in runs:
            rows.append([f"UA: {setting.title}", f"{goal:.1f}", "not run yet", "", ""])
            continue
        best = _highest(runs[name], list(runs[name]["arms"]))
        ua = runs[name]["arms"][best]["overall"]["ua"]
        distance = f"{100 * ua['value'] - goal:+.1f}"
        rows.append([f"UA: {setting.title}", f"{goal:.1f}", tables.percent(ua), best, distance])
    default = runs["default"]
    generators = list(default["quality"])
    for reference, gain in GAINS.items():
        if not generators or reference not in default["arms"]:
            continue
        best = _highest(default, generators)
        reached = default["arms"][best]["against"][reference]["ua"]
        rows.append(
            [
                f"gain in UA of a generator over {reference}",
                f"{gain:+.1f}",
                tables.percent(reached, "+"),
                best,
                f"{100 * reached['value'] - gain:+.1f}",
            ]
        )
    return tables.markdown(rows)


def series(members: dict[int, Details]) -> str:
    """Return amount against gain, from `{amount in per cent: details}`.

    Each generator that every member has is compared with `augmented`, which has the same augmentation. p values are
    corrected over the rows.
    """
    shared = [
        arm
        for arm in next(iter(members.values()))["quality"]
        if all(arm in details["arms"] for details in members.values())
    ]
    pairs = [(amount, details["arms"], arm) for amount, details in members.items() for arm in shared]
    corrected = holm([arms[arm]["against"]["augmented"]["p"] for _, arms, arm in pairs])
    rows = [["amount", "UA baseline", "UA augmented", "generator", "its UA", "UA vs augmented", "p, corrected"]]
    for (amount, arms, arm), p in zip(pairs, corrected, strict=True):
        uas = {name: tables.percent(arms[name]["overall"]["ua"]) for name in (*REFERENCES, arm)}
        rows.append(
            [
                f"{amount} %",
                uas["baseline"],
                uas["augmented"],
                arm,
                uas[arm],
                tables.percent(arms[arm]["against"]["augmented"]["ua"], "+"),
                tables.p_value(p),
            ]
        )
    return tables.markdown(rows)


def ablation(results: dict[str, Any]) -> str:
    """Return the UA of each candidate on validation speakers.

    Its mean, and the difference from the first candidate with the standard error over pairs of a (repeat, fold).
    """
    candidates = list(results["candidates"].items())
    first = candidates[0][1]["ua"]
    rows = [["candidate", "validation UA", "difference ± standard error"]]
    for label, candidate in candidates:
        rows.append(
            [
                label,
                f"{100 * mean(candidate['ua']):.1f}",
                "" if candidate["ua"] is first else paired(candidate["ua"], first),
            ]
        )
    return (
        f"**{results['question']}** {results['protocol']}\n\n{tables.markdown(rows)}\n\n"
        f"Means over {len(first)} trainings (repeats: {results['repeats']}) each; `{results['command']}`."
    )


def paired(ours: list[float], theirs: list[float]) -> str:
    """Return the mean difference in points, with its standard error where there are several pairs."""
    gains = [100 * (one - other) for one, other in zip(ours, theirs, strict=True)]
    error = f" ± {stdev(gains) / math.sqrt(len(gains)):.1f}" if len(gains) > 1 else ""
    return f"{mean(gains):+z.1f}{error}"


def other_settings(runs: dict[str, dict[str, tuple[Any, Any]]]) -> str:
    """Return what has changed since experiments were run, from `{experiment: {key: (value then, value now)}}`.

    Where more than two settings of a section changed, it has their number. Experiments with the same changes share a
    row.
    """
    same: dict[str, list[str]] = {}
    for run, keys in runs.items():
        sections: dict[str, list[str]] = {}
        for key, (then, now) in keys.items():
            section = ".".join(key.split(".")[: 2 if key.startswith("generators") else 1])
            sections.setdefault(section, []).append(f"`{key}` {then} → {now}")
        changes = [
            f"`{section}` ({len(changed)} settings)" if len(changed) > 2 else "; ".join(changed)
            for section, changed in sections.items()
        ]
        if changes:
            same.setdefault("; ".join(changes), []).append(run)
    if not same:
        return "All experiments were run with the settings that `params.yaml` and `experiments/` have now."
    rows = [[", ".join(names), changes] for changes, names in same.items()]
    return tables.markdown([["experiments", "settings when they were run → now"], *rows])


def missing(parts: dict[str, Planned]) -> str:
    """Return what was not run yet, by name."""
    if not parts:
        return "Everything was run."
    rows = [
        [name, f"`{part.command}`", "not timed" if part.hours is None else f"{part.hours:g}"]
        for name, part in parts.items()
    ]
    rows.append(["**all that was timed**", "", f"{sum(part.hours or 0 for part in parts.values()):.1f}"])
    return tables.markdown([["part", "command", "hours on 2 cores"], *rows])
