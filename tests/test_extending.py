"""A generator and a classifier, added as the README says and in no other way, have their row in the table."""

import json
import re

import pytest
import yaml

from experiments.__main__ import merged
from tests.conftest import ROOT
from tests.test_pipeline import change, copy_of_the_repository, repro

SECTION = (ROOT / "README.md").read_text().partition("## Add a generator or a classifier\n")[2].partition("\n## ")[0]
FILES = dict(re.findall(r"`(ser/\w+/\w+\.py)`(?:(?!```).)*```python\n(.*?)```", SECTION, re.DOTALL))
ENTRY = yaml.safe_load(*re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL))
SMALL = {
    "study": {"arms": ["baseline"]},
    "generators": {"gaussian": {"fit": {"frames": 32}, "sample": {"count": 4}}},
}


def write(project, path):
    (project / path).parent.mkdir(exist_ok=True)
    (project / path).write_text(FILES[path])


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of this repository, set to the smallest experiment, with the generator of the README."""
    folder = copy_of_the_repository(tmp_path_factory.mktemp("extended") / "project")
    write(folder, "ser/generators/gaussian.py")
    change(folder, merged(ENTRY, SMALL))
    return folder


def test_a_generator(project):
    assert "retrain@gaussian" in repro(project, "compare")
    assert list(json.loads((project / "metrics/compare.json").read_text())) == ["baseline", "gaussian"]


def test_a_classifier(project):
    write(project, "ser/bodies/moments.py")
    change(project, {"classifier": {"arch": "moments"}})
    assert {"train@baseline", "retrain@gaussian"} <= repro(project, "compare")
    model = json.loads((project / "models/arms/gaussian.json").read_text())
    assert model["classifier"]["arch"] == "moments"
    assert list(json.loads((project / "metrics/compare.json").read_text())) == ["baseline", "gaussian"]
