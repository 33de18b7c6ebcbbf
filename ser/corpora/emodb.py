"""EmoDB, the Berlin database of emotional speech: 535 clips, ten speakers, ten German sentences.

Burkhardt et al., A Database of German Emotional Speech, Interspeech 2005.
A file name consists of speaker, text, emotion and version, for instance 03a01Fa.wav. The letters of the emotions are
German: Wut, Langeweile, Ekel, Angst, Freude, Trauer, neutral.
"""

import re
from pathlib import Path

from ser.core.errors import InputError
from ser.corpora import archive

SOURCE = archive.Source(
    name="emodb",
    url="http://emodb.bilderbar.info/download/download.zip",
    checksums=Path(__file__).with_suffix(".sha256"),
)
EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
MEN = ("03", "10", "11", "12", "15")
WOMEN = ("08", "09", "13", "14", "16")
NAME = re.compile(rf"({'|'.join(MEN + WOMEN)})([ab][0-9][0-9])([{''.join(EMOTIONS)}])[a-z]\.wav")


def fetch(target: Path, mirror: Path | None) -> None:
    """Fill the folder `target` with wav/*.wav; see `archive.fetch`."""
    archive.fetch(SOURCE, target, mirror)


def parse(path: Path) -> dict[str, str]:
    """Speaker, sex, emotion, text and intensity from a file name; raises InputError for any other name."""
    match = NAME.fullmatch(path.name)
    if not match:
        raise InputError(
            f"{path}: not an EmoDB file name; expected speaker (03, 08 to 16), text (a01), emotion (one of "
            f"{', '.join(EMOTIONS)}) and version (a), as in 03a01Fa.wav"
        )
    speaker, text, emotion = match.groups()
    return {
        "speaker": f"emodb-{speaker}",
        "sex": "male" if speaker in MEN else "female",
        "emotion": EMOTIONS[emotion],
        "text": f"emodb-{text}",
        "intensity": "normal",
    }
