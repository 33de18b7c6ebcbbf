"""Describe every clip of the selected corpora in data/catalogue.csv."""

import sys
from pathlib import Path

from ser import catalogue, params
from ser.errors import InputError
from ser.runtime import replacing, stage


def main():
    names = [name for name, selected in params.read("corpora", dict[str, bool]).items() if selected]
    if not names:
        raise InputError("params.yaml: corpora: none is selected; set at least one to true")
    table = catalogue.build(Path(), names)
    for corpus, clips in table.groupby("corpus"):
        emotions = clips.groupby("emotion").size()
        counts = ", ".join(f"{emotion} {count}" for emotion, count in emotions.items())
        print(f"{corpus}: {len(clips)} clips, {clips['speaker'].nunique()} speakers; {counts}")
    for clips in catalogue.duplicates(table):
        print(f"notice: the same bytes under several names: {', '.join(clips)}")
    with replacing(Path("data/catalogue.csv")) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n")


if __name__ == "__main__":
    stage(main, *sys.argv[1:])
