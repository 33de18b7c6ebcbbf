"""The clips of one corpus: data/corpora/CORPUS, an empty folder where params.yaml does not select the corpus."""

import importlib
import os
import sys
from pathlib import Path

from ser.core import params
from ser.core.atomic import replacing
from ser.core.stage import stage


def main(corpus: str) -> None:
    selected = params.read(f"corpora.{corpus}", bool)
    mirror = os.environ.get("SER_MIRROR")
    with replacing(Path("data/corpora") / corpus) as target:
        target.mkdir()
        if selected:
            importlib.import_module(f"ser.corpora.{corpus}").fetch(target, Path(mirror) if mirror else None)


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
