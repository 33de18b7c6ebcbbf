"""The model card of the exported model: models/export/README.md."""

import json
from pathlib import Path

from ser.core.atomic import replacing
from ser.core.stage import stage
from ser.reporting import model_card


def main() -> None:
    facts = json.loads(Path("models/export/model.json").read_text())
    details = json.loads(Path("metrics/details.json").read_text())
    with replacing("models/export/README.md") as temporary:
        temporary.write_text(model_card.text(facts, details), encoding="utf-8")


if __name__ == "__main__":
    stage(main)
