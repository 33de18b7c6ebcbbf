"""dvc.yaml says of every stage what it is made from: the deps and params are derived from the code and compared."""

import ast
import re
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
import yaml

from tests.helpers.project import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


@cache
def tree(path):
    return ast.parse((ROOT / path).read_text())


def module(name):
    """The file of one of our modules, or None."""
    path = Path(*name.split("."))
    return next((str(file) for file in (path.with_suffix(".py"),) if (ROOT / file).is_file()), None)


def template(node, value):
    """The text of a string or f-string, its values replaced by DVC's `${value}`."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(part.value if isinstance(part, ast.Constant) else f"${{{value}}}" for part in parts)


def template_file(node, value):
    folder, dollar, rest = template(node, value).partition("$")
    return f"{folder.replace('.', '/')}{dollar}{rest}.py"


def calls(path, function):
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call) and ast.unparse(node.func) == function]


def imported(path, axis):
    """The files of ours that a file imports: by statement, by `importlib.import_module(f"...{name}")`, or because it
    reads a section of params.yaml that names one."""
    yield from stated(path)
    for call in calls(path, "importlib.import_module"):
        if not by_field(call):
            pattern = template_file(call.args[0], axis)
            yield from [pattern] if axis else in_folder(pattern)
    for call in calls(path, "params.read"):
        kind = ast.unparse(call.args[1]).rpartition(".")[2]
        for home in stated(path):
            if kind in [node.name for node in tree(home).body if isinstance(node, ast.ClassDef)]:
                for chosen in filter(by_field, calls(home, "importlib.import_module")):
                    field = chosen.args[0].values[-1].value.attr
                    yield template_file(chosen.args[0], f"{template(call.args[0], axis)}.{field}")


def stated(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from filter(None, (module(alias.name) for alias in node.names))
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            yield from filter(None, map(module, names))


def by_field(call):
    """Whether an `import_module(f"...{settings.field}")` takes the name from a field of settings."""
    return isinstance(call.args[0].values[-1].value, ast.Attribute)


def in_folder(pattern):
    """The modules that a `folder/${value}.py` may stand for."""
    folder = ROOT / Path(pattern).parent
    return [str(file.relative_to(ROOT)) for file in sorted(folder.glob("*.py")) if file.stat().st_size]


def argument(stage):
    """What `cmd` hands a stage, for instance `item.arm`; None for nothing."""
    handed = re.search(r"\$\{([\w.]+)\}", STAGES[stage]["cmd"])
    return handed and handed[1]


def files(stage):
    """All files of ours that a stage runs, with the matrix axis or the parameter in place of what it chooses."""
    axis = argument(stage)
    found, queue = set(), [f"stages/{stage}.py"]
    while queue:
        path = queue.pop()
        if path in found:
            continue
        found.add(path)
        choices = [path]
        if "${" in path:
            choices = [file for file in in_folder(path) if "${item." not in path or chosen(stage, Path(file).stem)]
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
    axis = argument(stage)
    for path in files(stage):
        if "${" not in path:
            for call in calls(path, "params.read"):
                yield template(call.args[0], axis)


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
