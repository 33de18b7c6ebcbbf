"""Your own recordings: data/corpora/folder, an empty folder where params.yaml does not select them."""

from pathlib import Path

from ser.core import params
from ser.core.atomic import replacing
from ser.core.stage import stage
from ser.corpora import folder


def main() -> None:
    selected = params.read("corpora.folder", bool)
    with replacing("data/corpora/folder") as target:
        target.mkdir()
        if selected:
            folder.fetch(target, Path("recordings"))


if __name__ == "__main__":
    stage(main)
