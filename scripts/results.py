"""Every table of results in README.md and docs/, and their pictures, from the committed metrics.

`python -m scripts.results` rewrites what stands between `<!-- results: NAME -->` and `<!-- end -->`. It reads the
default run (metrics/details.json, predictions and curves), metrics/experiments/NAME.json
(`python -m scripts.experiment NAME --keep`) and metrics/ablations/NAME.json (`python -m scripts.ablation NAME`). Where
a file is missing, or an ablation is incomplete, the document names the command and how long it takes. Classifiers on
fixed features are shown next to the published ones: metrics/opensmile_svm.json (`python -m scripts.opensmile_svm`) and
metrics/speech_encoders/NAME.json (`python -m scripts.speech_encoder`). metrics/fusion.json has an arm fused with the
first of them (`python -m scripts.fusion ARM`).
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from scripts import fold_differences, kept_metrics, leakage_figure, named, reproduced, study_tables, summary_figure
from scripts.changed_settings import changed_settings
from scripts.overrides import merged
from scripts.study_tables import Details, Planned
from ser.core import params
from ser.core.atomic import replacing
from ser.core.errors import InputError
from ser.core.stage import stage
from ser.reporting import figures, tables

DOCUMENTS = (Path("README.md"), *(Path("docs", f"{name}.md") for name in ("results", "choices", "reliability")))
LEAKAGE, SUMMARY = Path("plots/leakage.png"), Path("plots/summary.png")
# Classifiers on fixed features: titles, by the names of their scripts.
FIXED_FEATURES = {
    "opensmile_svm": "openSMILE's ComParE 2016 and an SVM",
    "speech_encoder": "logistic regression on a frozen speech encoder",
}
FUSION = Planned(None, "python -m scripts.fusion augmented")
BEGIN = "<!-- results: "
MARK = re.compile(rf"({BEGIN}(.*?) -->\n)((?:(?!{BEGIN}).)*?)(<!-- end -->)", re.DOTALL)


class Measured(NamedTuple):
    """What is shown."""

    default: Details  # of the default run
    fold_ua: dict[str, pd.Series]  # {arm: series as of fold_differences.read}
    experiments: dict[str, Details]  # by name, those that were kept
    ablations: dict[str, Any]  # by name, the complete ones
    fixed_features: dict[str, dict[str, Details]]  # {title: {setting: details}}, see study_tables.published
    fusion: Details | None  # None where it was not run


def main() -> None:
    """Rewrite the tables of all documents, and the pictures of the leakage and of the whole study."""
    measured = load()
    sections = contents(measured)
    texts = {document: filled(document, sections) for document in DOCUMENTS}
    for document, text in texts.items():
        with replacing(document) as temporary:
            temporary.write_text(text, encoding="utf-8")
    for path, picture in pictures(measured).items():
        figures.save(picture, path)


def pictures(measured: Measured) -> dict[Path, Figure]:
    """Return the pictures that can be drawn from what was measured, by their paths."""
    drawn = {}
    if random := measured.experiments.get("random_split"):
        drawn[LEAKAGE] = leakage_figure.picture(measured.default, random)
        if measured.fusion and (noise := measured.experiments.get("from_noise")):
            drawn[SUMMARY] = summary_figure.picture(measured.default, random, noise, measured.fusion)
    return drawn


def load() -> Measured:
    """Return all that is shown; raises InputError where there is no default run."""
    if not kept_metrics.DEFAULT.exists():
        raise InputError(f"{kept_metrics.DEFAULT} is missing: there are no results yet; run `dvc repro`")
    default = kept_metrics.read(kept_metrics.DEFAULT)
    fold_ua = {arm: fold_differences.read(arm, default["emotions"]) for arm in default["arms"]}
    experiments = _kept(parts(), kept_metrics.EXPERIMENTS)
    asked = named.ablations()
    ablations = _kept(asked, kept_metrics.ABLATIONS)
    ablations = {name: results for name, results in ablations.items() if is_complete(results, asked[name])}
    fusion = kept_metrics.read(kept_metrics.FUSION) if kept_metrics.FUSION.exists() else None
    return Measured(default, fold_ua, experiments, ablations, fixed_features(), fusion)


def fixed_features() -> dict[str, dict[str, Details]]:
    """Return {title: {setting: details}} of each classifier on fixed features; one that was not run is empty."""
    svm, encoder = FIXED_FEATURES.values()
    measured = {svm: kept_metrics.read(kept_metrics.OPENSMILE_SVM) if kept_metrics.OPENSMILE_SVM.exists() else {}}
    encoders = sorted(kept_metrics.SPEECH_ENCODERS.glob("*.json"))
    if not encoders:
        return measured | {encoder: {}}
    return measured | {f"logistic regression on {path.stem}, frozen": kept_metrics.read(path) for path in encoders}


def _kept(names: Iterable[str], folder: Path) -> dict[str, Any]:
    paths = {name: folder / f"{name}.json" for name in names}
    return {name: kept_metrics.read(path) for name, path in paths.items() if path.exists()}


def parts() -> dict[str, named.Experiment]:
    """Return by name the experiments of the study, those of series, and the replications at reduced size."""
    found: dict[str, named.Experiment] = {}
    for name, experiment in named.study().items():
        found |= named.members(experiment) or {name: experiment}
    for name, replication in named.replications().items():
        found |= named.reduced(name, replication)
    return found


def planned() -> dict[str, Planned]:
    """Return {mark: (hours on 2 cores or None, command)} of every experiment of `parts` and every ablation."""
    experiments = {
        name: Planned(part.hours, f"python -m scripts.experiment {name} --keep") for name, part in parts().items()
    }
    return experiments | {
        f"ablations/{name}": Planned(ablation.hours, f"python -m scripts.ablation {name}")
        for name, ablation in named.ablations().items()
    }


def is_complete(results: dict[str, Any], ablation: named.Ablation) -> bool:
    """Whether every candidate was measured that an ablation names now; the results say how."""
    return {label: candidate["changes"] for label, candidate in results["candidates"].items()} == ablation.candidates


def contents(measured: Measured) -> dict[str, str]:
    """Return {mark: Markdown} of everything there is to show."""
    default, fold_ua, experiments, ablations, fixed_features, fusion = measured
    current, plan = params.load(), planned()
    runs, with_goal = {"default": default} | experiments, named.with_goal()
    arms = [*current["study"]["arms"], *current["study"]["generators"]]
    settings = {name: merged(current, part.changes) for name, part in parts().items()}
    changed = {name: changed_settings(details["params"], settings[name]) for name, details in experiments.items()}
    sections = {
        "arms": study_tables.run(default, arms),
        "reproduced": reproduced.tables_of_all(),
        "numbers_of_runs": study_tables.numbers_of_runs(default),
        "folds": fold_differences.table(fold_ua, list(default["quality"])),
        "corpora": study_tables.corpora(default),
        "recalls": study_tables.recalls(default),
        "quality": tables.quality_table(default["quality"]) if default["quality"] else "No generator took part.",
        "enhanced": study_tables.run(default["enhanced"]),
        "recognising": study_tables.run(default["fused"]),
        "fusion": study_tables.run(fusion) if fusion else _not_run([FUSION]),
        "published": study_tables.published(named.compared(), runs, fixed_features),
        "other_settings": study_tables.other_settings(changed),
        "replications": study_tables.replications(named.replications(), experiments),
        "goals": study_tables.goals(with_goal, runs),
    }
    for name, experiment in named.study().items():
        names = list(experiment.members) or [name]
        kept = {part: experiments[part] for part in names if part in experiments}
        if not kept:
            sections[name] = _not_run([plan[part] for part in names])
        elif experiment.members:
            amounts = {int(part.rpartition("_")[2]): details for part, details in kept.items()}
            if name == "real_data" and not any(changed[part] for part in kept):
                amounts[100] = default
            sections[name] = study_tables.series(amounts)
        else:
            details = kept[name]["enhanced"] if name == "from_noise" else kept[name]
            sections[name] = study_tables.run(details)
    chosen = {f"ablations/{name}": results for name, results in ablations.items()}
    for mark in (f"ablations/{name}" for name in named.ablations()):
        sections[mark] = study_tables.ablation(chosen[mark]) if mark in chosen else _not_run([plan[mark]])
    missing = {mark: part for mark, part in plan.items() if mark not in experiments | chosen}
    missing |= {
        name: Planned(None, f"python -m scripts.{name}")
        for name, title in FIXED_FEATURES.items()
        if fixed_features.get(title) == {}
    }
    missing |= {} if fusion else {"fusion": FUSION}
    sections["missing"] = study_tables.missing(missing)
    return sections


def filled(document: Path, sections: dict[str, str]) -> str:
    """Return the text of `document` with `sections`, {mark: Markdown}, between its marks."""
    text = document.read_text(encoding="utf-8")
    marks = [match[2] for match in MARK.finditer(text)]
    if len(marks) != text.count(BEGIN):
        raise InputError(f"{document}: a mark `{BEGIN}NAME -->` has no `<!-- end -->` before the next one; add it")
    unknown = [mark for mark in marks if mark not in sections]
    if unknown:
        raise InputError(f"{document}: unknown mark `{unknown[0]}`; expected one of {', '.join(sections)}")
    return MARK.sub(lambda match: f"{match[1]}\n{sections[match[2]]}\n\n{match[4]}", text)


def _not_run(planned_parts: list[Planned]) -> str:
    commands = ", ".join(f"`{part.command}`" for part in planned_parts)
    hours = [part.hours for part in planned_parts]
    time = "not timed" if None in hours else f"about {sum(filter(None, hours)):.1f} hours on 2 cores"
    return f"Not run yet: {commands}; {time}."


if __name__ == "__main__":
    stage(main)
