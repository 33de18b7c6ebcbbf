"""The catalogue of the clips of the selected corpora: data/catalogue.csv."""

from pathlib import Path

from ser.core import params
from ser.core.atomic import replacing
from ser.core.errors import InputError
from ser.core.stage import stage
from ser.corpora import scan
from ser.data import manifest


def main() -> None:
    names = [name for name, selected in params.read("corpora", scan.CorporaConfig) if selected]
    if not names:
        raise InputError("params.yaml: `corpora`: none is selected; set at least one to true")
    table = scan.build(Path(), names)
    for corpus, clips in table.groupby("corpus"):
        counts = ", ".join(f"{emotion} {count}" for emotion, count in clips.groupby("emotion").size().items())
        print(f"{corpus}: {len(clips)} clips, {clips['speaker'].nunique()} speakers; {counts}")
    for names_of_file in manifest.duplicates(table):
        print(f"notice: the same bytes under several names: {', '.join(names_of_file)}")
    with replacing("data/catalogue.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n")


if __name__ == "__main__":
    stage(main)
