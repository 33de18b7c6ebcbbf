"""dvc.yaml names everything that a stage is made from: deps and params are derived from the code and compared."""

import ast
import importlib
from functools import cache
from pathlib import Path

import pytest
from dvc.repo import Repo

from ser.core import params, sources
from ser.generators import base
from ser.models.classifier import ClassifierConfig
from tests.helpers.project import ROOT

# Those that a stage may be run for, in the study or in a replication.
GENERATORS = {
    "fit": base.known(),
    "sample": base.known(),
    "enhance": [name for name in base.known() if base.get(name).enhance is not base.Generator.enhance],
    "recognise": [
        name for name in base.known() if base.get(name).log_likelihoods is not base.Generator.log_likelihoods
    ],
}
with Repo(ROOT) as repo:
    STAGES = {stage.addressing: stage for stage in repo.index.stages}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def script(name):
    """The module of a stage, and its argument: the item of a matrix, or the one that its command always has."""
    stage, _, item = name.partition("@")
    return f"stages.{stage}", item or ("autoencoder" if stage == "fit_autoencoder" else "")


def deps(name):
    """The paths that a stage depends on, split into code and data."""
    paths = [Path(dep.def_path) for dep in STAGES[name].deps if dep.def_path != "params.yaml"]
    code = [path for path in paths if path.parts[0] in ("ser", "stages")]
    return code, [path for path in paths if path not in code]


@cache
def job(name):
    """The fold job of a stage, or None where it does its work at once."""
    module, item = script(name)
    kind = getattr(importlib.import_module(module), "JOB", None)
    return kind(item) if kind else None


@cache
def calls(path, function):
    """The first argument of every call of `function` in a file that is a string, `{}` in place of a value."""
    nodes = [node for node in ast.walk(ast.parse((ROOT / path).read_bytes())) if isinstance(node, ast.Call)]
    texts = [node.args[0] for node in nodes if ast.unparse(node.func) == function]
    return [template(text) for text in texts if isinstance(text, (ast.Constant, ast.JoinedStr))]


def template(node):
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in parts)


@cache
def keys(name):
    """The keys of params.yaml that a stage reads: those of its job, and every `params.read` in its files."""
    module, item = script(name)
    found = set(job(name).params) if job(name) else set()
    for path in sources.imported(module):
        found |= {key.replace("{}", item) for key in calls(path, "params.read")}
    return found


@cache
def code(name):
    """The files that a stage runs, those that it chooses at run time included."""
    module, item = script(name)
    chosen = job(name).modules if job(name) else []
    for path in sources.imported(module):
        for pattern in calls(path, "importlib.import_module"):
            package = Path(*pattern.removesuffix(".{}").split("."))
            names = [item] if path.parts[0] == "stages" else [file.stem for file in package.glob("*.py")]
            chosen += [pattern.replace("{}", each) for each in names]
    if not job(name) and "classifier" in keys(name):
        chosen.append(params.read("classifier", ClassifierConfig).module)
    return sources.imported(module, *chosen)


def within(path, folders):
    return any(path.is_relative_to(folder) for folder in folders)


@pytest.mark.parametrize("name", STAGES)
def test_params_are_complete(name):
    named = {key for dep in STAGES[name].deps if dep.def_path == "params.yaml" for key in dep.params}
    assert named == keys(name)


@pytest.mark.parametrize("name", STAGES)
def test_code_deps_are_complete(name):
    named, _ = deps(name)
    assert not {str(path) for path in code(name) if not within(path, named)}


@pytest.mark.parametrize("stage", sorted({name.partition("@")[0] for name in STAGES}))
def test_no_code_dep_is_needless(stage):
    """What one member of a matrix does not use, another does, or would with a generator that replications use."""
    members = [name for name in STAGES if name.partition("@")[0] == stage]
    possible = {*members, *(f"{stage}@{name}" for name in GENERATORS.get(stage, []))}
    used = set().union(*map(code, possible))
    used |= {path.with_suffix(".sha256") for path in Path("ser/corpora").glob("*.py")}
    for name in members:
        assert not {str(dep) for dep in deps(name)[0] if not any(path.is_relative_to(dep) for path in used)}


@pytest.mark.parametrize("name", [name for name in STAGES if "@" in name and job(name)])
def test_a_job_declares_the_files_that_its_stage_depends_on(name):
    _, data = deps(name)
    inputs = [Path(path) for path in job(name).inputs]
    assert not {str(path) for path in inputs if not within(path, data)}
    assert not {str(dep) for dep in data if not any(path.is_relative_to(dep) for path in inputs)}


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_is_described_and_runs_the_script_of_its_name(name):
    module, item = script(name)
    argument = params.load()["export"]["arm"] if name == "export" else item
    assert STAGES[name].desc
    assert STAGES[name].cmd == f"python -m {module} {argument}".strip()


def test_the_graph_stays_readable():
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 520
