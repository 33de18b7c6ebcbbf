"""Named experiments: the files of experiments/ (copies.py runs them).

A file holds what an experiment is for and what it changes in params.yaml. Experiments are the files at the top of
experiments/ and those in study/ and replications/; ablations, in ablations/, compare candidates on validation speakers.
"""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from scripts.overrides import merged
from ser.core import params
from ser.core.errors import InputError
from ser.core.params import Config

FOLDER = Path(__file__).parents[1] / "experiments"


class Published(Config):
    """A published result under the same protocol, in per cent; None where the source does not give one."""

    system: str
    ua: float | None
    wa: float | None
    source: str


class Member(Config):
    """One experiment of a series."""

    title: str
    changes: dict[str, Any]


class Experiment(Config):
    """An experiment, or a series of them, one per member."""

    title: str
    question: str
    hours: float | None  # on 2 CPU cores, per member of a series; None: not timed
    expected: str | None  # what was expected or published before the run; None: nothing
    goal: float | None = None  # UA of the best arm in per cent, set in the plan
    published: list[Published] = Field(default=[])
    changes: dict[str, Any]  # of params.yaml
    members: dict[str, Member] = Field(default={})  # of a series: they change params.yaml further


class Replication(Experiment):
    """The recipe of a published project under this repository's evaluation."""

    authors: str | None  # None: the project names none
    link: str | None
    reproduces: str
    differences: str  # what is done differently here, and why
    accuracies: dict[str, str] = Field(default={})  # {arm: accuracy as published, in per cent}; none: it gives none
    reduced: dict[str, Any]  # changes it further, on top of REDUCED, to what 2 cores run in minutes


class Ablation(Config):
    """A question that validation speakers settle."""

    title: str
    question: str
    hours: float | None  # on 2 CPU cores, of all candidates; None: not timed
    arm: str  # the arm whose training is measured
    given: dict[str, Any] = Field(default={})  # changes of params.yaml for every candidate
    candidates: dict[str, dict[str, Any]]  # {label: further changes of params.yaml}


# The run of params.yaml as it is, which has no file in experiments/.
DEFAULT = Experiment(
    title="Both corpora, six emotions, speakers apart",
    question="How much does synthetic speech improve speech emotion recognition?",
    hours=4.0,
    expected=None,
    goal=76.0,
    changes={},
)
# What every ablation changes: speakers to make choices on, which the study itself trains on. With more of them there
# would be too few voices to train on, with fewer the differences would be less certain.
HELD_OUT = {"split": {"validation": 0.3}}
# What all reduced replications change.
REDUCED = {
    "split": {"folds": 2},
    "classifier": {"pretrained": "none"},
    "training": {"runs": 1},
    "generators": {
        "unet_diffusion": {
            "fit": {"updates": 400, "batch": 8},
            "sample": {"count": 100, "sampler": "dpm_solver", "steps": 8},
        }
    },
}
# Their splits, by the end of their names.
REDUCED_SPLITS = {"reduced": "random", "reduced_apart": "speaker"}
REDUCED_HOURS = 0.3  # on 2 CPU cores, about, each
Kind = TypeVar("Kind", bound=Config)


def experiments() -> dict[str, Experiment]:
    """Return every experiment that can be run, by name.

    Those of a series are under the names of its members, and every replication is followed by those of `reduced`.
    """
    runnable: dict[str, Experiment] = {}
    for path in [*_paths("."), *_paths("study")]:
        experiment = load(path, Experiment)
        runnable |= members(experiment) or {path.stem: experiment}
    for name, replication in replications().items():
        runnable |= {name: replication} | reduced(name, replication)
    return runnable


def study() -> dict[str, Experiment]:
    """Return the experiments and series of the study, by the names of their files."""
    return {path.stem: load(path, Experiment) for path in _paths("study")}


def replications() -> dict[str, Replication]:
    """Return the replications at full size, by the names of their files."""
    return {path.stem: load(path, Replication) for path in _paths("replications")}


def reduced(name: str, replication: Replication) -> dict[str, Replication]:
    """Return a replication at a size for 2 cores, by name: split at random as most projects do, and speakers apart."""
    changes = merged(merged(replication.changes, REDUCED), replication.reduced)
    return {
        f"{name}_{end}": replication.model_copy(
            update={"hours": REDUCED_HOURS, "changes": merged(changes, {"split": {"protocol": protocol}})}
        )
        for end, protocol in REDUCED_SPLITS.items()
    }


def compared() -> dict[str, Experiment]:
    """Return the default run and the experiments with a goal or with published results to compare with, by name."""
    return with_goal() | {name: experiment for name, experiment in study().items() if experiment.published}


def with_goal() -> dict[str, Experiment]:
    """Return the default run and the experiments of the study that a goal was set for, by name."""
    return {"default": DEFAULT} | {name: experiment for name, experiment in study().items() if experiment.goal}


def ablations() -> dict[str, Ablation]:
    """Return every ablation by name, with HELD_OUT among what is given."""
    loaded = {path.stem: load(path, Ablation) for path in _paths("ablations")}
    return {
        name: ablation.model_copy(update={"given": merged(HELD_OUT, ablation.given)})
        for name, ablation in loaded.items()
    }


def members(series: Experiment) -> dict[str, Experiment]:
    """Return the experiments of a series by name; none where it has no members."""
    return {
        name: series.model_copy(
            update={"title": member.title, "changes": merged(series.changes, member.changes), "members": {}}
        )
        for name, member in series.members.items()
    }


def _paths(folder: str) -> list[Path]:
    return sorted((FOLDER / folder).glob("*.yaml"))


def load(path: Path, kind: type[Kind]) -> Kind:
    """Return the content of a file of experiments/; raises InputError naming the file and the key that is wrong."""
    name = path.relative_to(FOLDER.parent)
    try:
        return kind.model_validate(params.parse(path.read_bytes(), name))
    except ValidationError as error:
        raise InputError(f"{name}: " + "; ".join(_describe(problem, kind) for problem in error.errors())) from None


def _describe(problem: Any, kind: type[Config]) -> str:
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        known = f"; known are {', '.join(kind.model_fields)}" if len(problem["loc"]) == 1 else ""
        return f"unknown key `{key}`{known}"
    if problem["type"] == "missing":
        return f"key `{key}` is missing"
    return f"key `{key}`: {problem['msg']}"
