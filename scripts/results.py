"""Every table of README.md and docs/results.md, and plots/leakage.png, from the committed metrics.

`python -m scripts.results` rewrites what stands between `<!-- results: NAME -->` and `<!-- end -->`. It reads the
default run (metrics/details.json, predictions and curves), metrics/experiments/NAME.json
(`python -m scripts.experiment NAME --keep`) and metrics/choices/NAME.json (`python -m scripts.ablation NAME`). Where a
file is not there, or a choice was not measured to its end, its place says how to make it and how long that takes.
Figures of handcrafted features stand among the published ones where metrics/functionals.json
(`python -m scripts.opensmile_svm`) is there.
"""

import json
import re
from pathlib import Path

from scripts import ablation, fold_differences, leakage_figure, study_tables
from scripts.named import HERE, changes_of
from scripts.overrides import flattened, merged, override
from ser.core import params
from ser.core.atomic import replacing
from ser.core.errors import InputError
from ser.core.stage import stage
from ser.reporting import figures, tables

DOCUMENTS = (Path("README.md"), Path("docs/results.md"))
PICTURE = Path("plots/leakage.png")
METRICS = Path("metrics")
DEFAULT, EXPERIMENTS = METRICS / "details.json", METRICS / "experiments"
FUNCTIONALS = METRICS / "functionals.json"
# Named experiments: what each shows, and the hours that it takes on 2 CPU cores.
RANDOM = {"random_split": ("leakage: clips split at random", 0.7)}
WHOLE = {
    "repeats": ("three trainings a fold instead of one", 1.0),
    "text": ("sentences apart, speakers shared", 0.3),
    "speaker_text": ("speakers and sentences apart", 0.8),
    "cross_corpus": ("learnt on one corpus, tested on the other, both ways", 0.3),
    "emodb_seven": ("EmoDB, seven emotions, one speaker left out at a time", 0.8),
    "ravdess_eight": ("RAVDESS, eight emotions, six folds with actors apart", 0.6),
}
SERIES = {
    "synthetic": {amount: (f"synthetic speech at {amount} % of the real", 0.4) for amount in (25, 50, 100, 200, 400)},
    "real_data": {amount: (f"{amount} % of the real training speech", 0.4) for amount in (10, 25, 50)},
}
ENHANCEMENT = {"from_noise": ("the source paper's enhancement, from pure noise", 0.2)}
MEMBERS = {f"{name}_{amount}": part for name, parts in SERIES.items() for amount, part in parts.items()}
PARTS = RANDOM | WHOLE | MEMBERS | ENHANCEMENT
# The same of the questions in experiments/choices.
QUESTIONS = {
    "choices/network": ("which network reads mels best", 0.4),
    "choices/length": ("how long a crop to listen to", 0.2),
    "choices/length_masked": ("how long a crop, with other voices and tempos", 0.2),
    "choices/mels": ("how long the window of a spectrum", 0.2),
    "choices/augmentation": ("which augmentation of real clips", 0.4),
    "choices/stretch": ("how far voices and tempos are stretched", 0.3),
    "choices/epochs": ("for how many epochs", 0.3),
    "choices/rate": ("at what learning rate", 0.3),
    "choices/amount": ("how much of a batch is synthetic, and of what", 0.7),
    "choices/guidance": ("how strongly sampling is guided towards an emotion", 1.0),
    "choices/spread": ("how close to real clips the VAE draws", 0.6),
}
LISTED = PARTS | QUESTIONS
BEGIN = "<!-- results: "
MARK = re.compile(rf"({BEGIN}(.*?) -->\n)((?:(?!{BEGIN}).)*?)(<!-- end -->)", re.DOTALL)


def main():
    default, trainings, experiments, choices, functionals = load()
    made = contents(default, trainings, experiments, choices, functionals)
    written = {document: filled(document, made) for document in DOCUMENTS}
    for document, text in written.items():
        with replacing(document) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if "random_split" in experiments:
        figures.save(leakage_figure.picture(default, experiments["random_split"]), PICTURE)


def load():
    """The default run, `{arm: table as of folds.read}` of its trainings, `{name: details}` of the experiments that were
    kept, `{"choices/NAME": choice}`, and `{name: details}` of functionals on the folds of a run."""
    if not DEFAULT.exists():
        raise InputError(f"{DEFAULT} is missing: there are no results yet; run `dvc repro`")
    choices = {name: choice for name, choice in _kept(QUESTIONS, METRICS).items() if as_asked(name, choice)}
    default = _read(DEFAULT)
    trainings = {arm: fold_differences.read(arm, default["emotions"]) for arm in default["arms"]}
    functionals = _read(FUNCTIONALS) if FUNCTIONALS.exists() else {}
    return default, trainings, _kept(PARTS, EXPERIMENTS), choices, functionals


def _kept(names, folder):
    paths = {name: folder / f"{name}.json" for name in names}
    return {name: _read(path) for name, path in paths.items() if path.exists()}


def _read(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not readable as JSON ({error}); make it again") from error


def as_asked(name, choice):
    """Whether all was measured that experiments/choices asks."""
    _, _, given, candidates = ablation.load(name.removeprefix("choices/"))
    measured = {label: candidate["changes"] for label, candidate in choice["candidates"].items()}
    return measured == candidates and choice["given"] == given


def contents(default, trainings, experiments, choices, functionals):
    """{mark: Markdown} of all there is to show."""
    made = {
        "arms": tables.table(default),
        "differences": study_tables.differences(default),
        "folds": fold_differences.table(trainings),
        "corpora": study_tables.corpora(default),
        "recalls": study_tables.recalls(default),
        "quality": tables.quality_table(default["quality"]) if default["quality"] else "No generator took part.",
        "enhanced": study_tables.enhanced(default),
        "published": study_tables.published({"default": default} | experiments, functionals),
        "goals": study_tables.goals({"default": default} | experiments),
    }
    kept = experiments | choices
    missing = [name for name in LISTED if name not in kept]
    made["missing"] = study_tables.missing({name: (*LISTED[name], _command(name)) for name in missing})
    made |= {mark: _not_run(["random_split"]) for mark in ("random_split", "leakage")}
    if "random_split" in experiments:
        made["random_split"] = tables.table(experiments["random_split"])
        made["leakage"] = study_tables.leakage(default, experiments["random_split"])
    for names, show in (
        (WHOLE, study_tables.run),
        (ENHANCEMENT, study_tables.enhanced),
        (QUESTIONS, study_tables.choice),
    ):
        for name in names:
            made[name] = show(kept[name]) if name in kept else _not_run([name])
    for name, amounts in SERIES.items():
        members = {amount: experiments[f"{name}_{amount}"] for amount in amounts if f"{name}_{amount}" in experiments}
        if members and name == "real_data":
            members[100] = default
        made[name] = study_tables.series(members) if members else _not_run([f"{name}_{amount}" for amount in amounts])
    made["other_settings"] = study_tables.other_settings({name: _other(name, run) for name, run in experiments.items()})
    return made


def planned(name):
    """All settings that the command of a named experiment would give it now."""
    _, _, _, file, *options = _command(name).split()
    return merged(params.load(), changes_of(file, [override(option) for option in options if "=" in option]))


def _other(name, experiment):
    """{key: (value that the experiment was run with, value that it would have now)}, where they differ."""
    then, now = dict(flattened(experiment["params"])), dict(flattened(planned(name)))
    return {key: (then.get(key), now.get(key)) for key in then | now if then.get(key) != now.get(key)}


def filled(document, made):
    """The text of `document` with `made`, {mark: Markdown}, between its marks."""
    text = document.read_text(encoding="utf-8")
    marks = [match[2] for match in MARK.finditer(text)]
    if len(marks) != text.count(BEGIN):
        raise InputError(f"{document}: a mark `{BEGIN}NAME -->` has no `<!-- end -->` before the next one; add it")
    unknown = [mark for mark in marks if mark not in made]
    if unknown:
        raise InputError(f"{document}: unknown mark `{unknown[0]}`; expected one of {', '.join(made)}")
    return MARK.sub(lambda match: f"{match[1]}\n{made[match[2]]}\n\n{match[4]}", text)


def _command(name):
    """The command of a part or question; experiments/SERIES.yaml names that of a member."""
    if name in QUESTIONS:
        return f"python -m scripts.ablation {name.removeprefix('choices/')}"
    series = name.rpartition("_")[0]
    if series not in SERIES:
        return f"python -m scripts.experiment {name} --keep"
    text = (HERE / f"{series}.yaml").read_text()
    return re.search(rf"python -m scripts.experiment {series} .*--as {name} --keep", text)[0]


def _not_run(names):
    hours = sum(LISTED[name][1] for name in names)
    commands = ", ".join(f"`{_command(name)}`" for name in names)
    return f"Not run yet: {commands}; about {hours:.1f} hours on 2 cores."


if __name__ == "__main__":
    stage(main)
