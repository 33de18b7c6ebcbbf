"""A generator and a backbone, added as docs/extending.md says and in no other way, have their row in the table."""

import json
import re

from scripts.overrides import merged
from ser.core import params
from tests.helpers.project import ROOT, change, copy_of_the_repository, repro

PAGE = (ROOT / "docs/extending.md").read_text()
FILES = dict(re.findall(r"`(ser/[\w/]+\.py)`(?:(?!```|`ser/).)*```python\n(.*?)```", PAGE, re.DOTALL))
ENTRY = params.parse(*re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL), "docs/extending.md")
SMALL = {
    "study": {"arms": ["baseline"], "build_on": "baseline", "enhanced": [], "recognising": []},
    "generators": {"gaussian": {"fit": {"frames": 32}, "sample": {"count": 4}}},
    "classifier": {"arch": "moments"},
}


def test_they_have_their_row(tmp_path):
    folder = copy_of_the_repository(tmp_path / "project")
    for path in ("ser/generators/gaussian.py", "ser/models/backbones/moments.py"):
        (folder / path).write_text(FILES[path])
    change(folder, merged(ENTRY, SMALL))
    assert {"train@baseline", "train_synthetic@gaussian"} <= repro(folder, "compare")
    assert list(json.loads((folder / "metrics/compare.json").read_text())) == ["baseline", "gaussian"]
    for arm in ("baseline", "gaussian"):
        assert json.loads((folder / f"models/arms/{arm}.json").read_text())["classifier"]["arch"] == "moments"
