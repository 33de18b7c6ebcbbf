"""A generator and a classifier, added as the README says and in no other way, have their row in the table."""

import json
import re

import yaml

from scripts.overrides import merged
from tests.helpers.project import ROOT, change, copy_of_the_repository, repro

SECTION = (ROOT / "README.md").read_text().partition("## Add a generator or a classifier\n")[2].partition("\n## ")[0]
FILES = dict(re.findall(r"`(ser/\w+/\w+\.py)`(?:(?!```).)*```python\n(.*?)```", SECTION, re.DOTALL))
ENTRY = yaml.safe_load(*re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL))
SMALL = {
    "study": {"arms": ["baseline"], "enhanced": []},
    "generators": {"gaussian": {"fit": {"frames": 32}, "sample": {"count": 4}}},
    "classifier": {"arch": "moments"},
}


def test_they_have_their_row(tmp_path):
    folder = copy_of_the_repository(tmp_path / "project")
    for path in ("ser/generators/gaussian.py", "ser/models/backbones/moments.py"):
        (folder / path).write_text(FILES[path])
    change(folder, merged(ENTRY, SMALL))
    assert {"train@baseline", "retrain@gaussian"} <= repro(folder, "compare")
    assert list(json.loads((folder / "metrics/compare.json").read_text())) == ["baseline", "gaussian"]
    for arm in ("baseline", "gaussian"):
        assert json.loads((folder / f"models/arms/{arm}.json").read_text())["classifier"]["arch"] == "moments"
