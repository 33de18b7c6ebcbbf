"""dvc.yaml says of every stage what it is made from: the deps and params are derived from the code and compared."""

import ast
import re
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


@cache
def tree(path):
    return ast.parse((ROOT / path).read_text())


def module(name):
    """The file of one of our modules, or None."""
    path = Path(*name.split("."))
    return next((str(file) for file in (path.with_suffix(".py"),) if (ROOT / file).is_file()), None)


def template(node, axis):
    """The text of a string or f-string, its values replaced by the matrix axis of the stage."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(part.value if isinstance(part, ast.Constant) else f"${{item.{axis}}}" for part in parts)


def imported(path, axis):
    """The files of ours that a file imports, by statement or by `importlib.import_module(f"...")`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from filter(None, (module(alias.name) for alias in node.names))
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            yield from filter(None, map(module, names))
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            pattern = template(node.args[0], axis)
            if axis:
                yield pattern.replace(".", "/").replace("item/", "item.") + ".py"
            else:
                folder = Path(pattern.rpartition(".")[0].rpartition("${")[0].rstrip(".").replace(".", "/"))
                yield from (str(file.relative_to(ROOT)) for file in (ROOT / folder).glob("*.py") if file.stat().st_size)


def files(stage):
    """All files of ours that a stage runs, with the matrix axis in place of what it chooses."""
    axis = next(iter(STAGES[stage].get("matrix", {})), None)
    found, queue = set(), [f"stages/{stage}.py"]
    while queue:
        path = queue.pop()
        if path in found:
            continue
        found.add(path)
        choices = [path]
        if axis and "${item." in path:
            folder = ROOT / Path(path).parent
            choices = [str(file.relative_to(ROOT)) for file in folder.glob("*.py") if chosen(stage, file.stem)]
        queue.extend(chain.from_iterable(imported(choice, axis) for choice in choices))
    return found


def chosen(stage, name):
    """Whether a stage's matrix has a value `name`; lists in params.yaml are looked up there."""
    (values,) = STAGES[stage]["matrix"].values()
    if isinstance(values, str):
        section, key = re.fullmatch(r"\$\{(\w+)\.(\w+)\}", values).groups()
        values = yaml.safe_load((ROOT / "params.yaml").read_text())[section][key]
    return name in values


def keys(stage):
    """The keys that a stage reads: every `params.read(key, ...)` in its files."""
    axis = next(iter(STAGES[stage].get("matrix", {})), None)
    for path in files(stage):
        if "${" not in path:
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "params.read":
                    yield template(node.args[0], axis)


@pytest.mark.parametrize("stage", STAGES)
def test_code_deps_are_complete(stage):
    named = {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")}
    assert named == files(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_complete(stage):
    assert set(STAGES[stage].get("params", [])) == set(keys(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_described_and_runs_the_script_of_its_name(stage):
    assert STAGES[stage]["desc"]
    assert STAGES[stage]["cmd"].startswith(f"python -m stages.{stage}")
