"""The model card of the exported model: models/export/README.md."""

import json
from pathlib import Path

from ser import modelcard
from ser.runtime import replacing, stage


def main():
    facts = json.loads(Path("models/export/model.json").read_text())
    details = json.loads(Path("metrics/details.json").read_text())
    with replacing("models/export/README.md") as temporary:
        temporary.write_text(modelcard.text(facts, details), encoding="utf-8")


if __name__ == "__main__":
    stage(main)
