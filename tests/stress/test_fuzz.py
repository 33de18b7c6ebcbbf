"""Readers under hostile input, a few examples of what `make stress` draws, and a scan for code that executes data."""

import ast

import pytest

from tests.helpers.project import ROOT
from tests.stress import fuzz


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_input_is_valid_or_refused(name):
    assert sum(fuzz.run(name, 25).values()) == 25


# Calls that run what they read, by the modules' usual names.
EXECUTING = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "pickle.load",
    "pickle.loads",
    "joblib.load",
    "torch.hub.load",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "shelve.open",
    "marshal.loads",
    "pd.read_pickle",
    "pd.eval",
    "tempfile.mktemp",
}


def called(code):
    """(name, call) of every call of a function in Python source."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def dangers(code):
    for name, call in called(code):
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if name in EXECUTING or keywords.get("shell") == "True":
            yield ast.unparse(call)
        if name == "np.load" and keywords.get("allow_pickle") != "False":
            yield ast.unparse(call)
        if (
            name == "torch.load" and keywords.get("weights_only") != "True"
        ):  # published weights, checked by their digest
            yield ast.unparse(call)


@pytest.mark.parametrize(
    "path",
    sorted(
        path.relative_to(ROOT)
        for folder in ("ser", "stages", "app", "scripts", "benchmarks", "tests")
        for path in (ROOT / folder).rglob("*.py")
    ),
    ids=str,
)
def test_nothing_that_is_read_is_executed(path):
    code = (ROOT / path).read_text()
    assert list(dangers(code)) == []
    assert not {"pickle", "joblib", "dill", "marshal", "shelve"} & {
        alias.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import) for alias in node.names
    }


@pytest.mark.parametrize("code", ["np.load(p)", "torch.load(p)", "subprocess.run(c, shell=True)", "yaml.load(f)"])
def test_the_scan_finds_what_it_looks_for(code):
    assert list(dangers(code))
