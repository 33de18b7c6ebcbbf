"""Write docs/licences.md: the licences of the packages that the project uses directly, and of the corpora.

`python -m scripts.licences`
"""

import re
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

from ser.core.atomic import replacing

DOCUMENT = Path("docs/licences.md")
UNDECLARED = {
    "espeakng-loader": "undeclared; the espeak-ng that it carries is GPL-3.0-or-later",
}
CORPORA = """| corpus | licence |
| --- | --- |
| EmoDB | CC0 1.0, as declared by its maintainers |
| RAVDESS | CC BY-NC-SA 4.0 |
| demo | generated on the spot by espeak-ng, CC0 1.0 |
"""


def packages() -> list[str]:
    """Return the names in requirements.in."""
    lines = Path("requirements.in").read_text().splitlines()
    return [re.split(r"[\[=<>;]", line)[0] for line in lines if line and not line.startswith("#")]


def licence(package: str) -> str:
    """Return a package's licence: its SPDX expression, its classifiers, or the first line of its licence text."""
    if package in UNDECLARED:
        return UNDECLARED[package]
    declared: Any = metadata(package)
    classifiers = [entry for entry in declared.get_all("Classifier") or [] if entry.startswith("License :: OSI")]
    classified = ", ".join(entry.rpartition(" :: ")[2] for entry in classifiers)
    written = (declared.get("License") or "").partition("\n")[0]
    return declared.get("License-Expression") or classified or written or "undeclared"


def text() -> str:
    """Return the content of docs/licences.md."""
    rows = "".join(f"| {package} | {licence(package)} |\n" for package in packages())
    return (
        "# Licences\n\nThe code of this repository: MIT, see LICENSE. What is derived from RAVDESS (mels, models, "
        "pictures) is under the licence of RAVDESS.\n\n"
        f"{CORPORA}\nPackages that it uses directly, as their metadata declares; `make sbom` lists the others too.\n\n"
        f"| package | licence |\n| --- | --- |\n{rows}"
    )


if __name__ == "__main__":
    with replacing(DOCUMENT) as temporary:
        temporary.write_text(text(), encoding="utf-8")
