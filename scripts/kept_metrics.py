"""What is kept of runs: the paths under metrics/ that scripts read and write."""

import json
from pathlib import Path
from typing import Any

from ser.core.atomic import replacing
from ser.core.errors import InputError

FOLDER = Path("metrics")
DEFAULT = FOLDER / "details.json"  # of the run of params.yaml as it is
EXPERIMENTS = FOLDER / "experiments"
ABLATIONS = FOLDER / "ablations"
REPRODUCED = FOLDER / "reproduced"
OPENSMILE_SVM = FOLDER / "opensmile_svm.json"
FUSION = FOLDER / "fusion.json"
SPEECH_ENCODERS = FOLDER / "speech_encoders"


def read(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file; raises InputError naming the file where it cannot be parsed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not readable as JSON ({error}); make it again") from error


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, as a whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
