"""The package: its metadata agree with the other files, and its command fails in one line."""

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec

import yaml

from tests.helpers.project import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements):
    return {re.split(r"[<=>; ]", line)[0] for line in requirements if line and not line.startswith("#")}


def test_dependencies_are_those_that_are_pinned():
    extras = PROJECT["optional-dependencies"]
    wanted = names([*PROJECT["dependencies"], *extras["app"], *extras["dev"]])
    assert wanted == names((ROOT / "requirements.in").read_text().splitlines())
    assert names(extras["cluster"]) == names((ROOT / "requirements-cluster.txt").read_text().splitlines())
    assert names(extras["encoder"]) <= names((ROOT / "requirements-encoder.txt").read_text().splitlines())
    assert names(extras["bench"]) == names((ROOT / "benchmarks/requirements.txt").read_text().splitlines())


def test_every_direct_requirement_is_pinned():
    def plain(name):
        return name.partition("[")[0].lower().replace("_", "-")

    pinned = {plain(name) for name in names((ROOT / "requirements.txt").read_text().splitlines())}
    assert {plain(name) for name in names((ROOT / "requirements.in").read_text().splitlines())} <= pinned


def test_the_version_is_the_one_that_is_cited_and_described():
    version = PROJECT["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert re.search(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version


def test_an_expected_failure_of_the_command_is_one_line(tmp_path):
    module, _, function = PROJECT["scripts"]["ser"].partition(":")
    assert find_spec(module)
    arguments = ["ser", "predict", "--model", "models", "a.wav"]
    program = f"import sys; from {module} import {function}; sys.argv = {arguments}; {function}()"
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: models: ") and done.stderr.count("\n") == 1
