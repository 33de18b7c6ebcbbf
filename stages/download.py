"""Fill data/corpora/<name>; an empty folder where params.yaml does not select the corpus."""

import importlib
import os
import sys
from pathlib import Path

from ser.core import params
from ser.core.atomic import replacing
from ser.core.stage import stage


def main(name):
    selected = params.read(f"corpora.{name}", bool)
    mirror = os.environ.get("SER_MIRROR")
    with replacing(Path("data/corpora") / name) as target:
        target.mkdir()
        if selected:
            importlib.import_module(f"ser.corpora.{name}").fetch(target, Path(mirror) if mirror else None)


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
