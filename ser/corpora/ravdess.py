"""RAVDESS, the speech part, audio only: 1,440 clips, 24 North American actors, two English sentences.

Livingstone & Russo, The Ryerson Audio-Visual Database of Emotional Speech and Song, PLoS ONE 13(5), 2018.
A file name consists of modality (03: audio only), channel (01: speech), emotion, intensity, statement, repetition and
actor, for instance 03-01-06-01-02-01-12.wav.
"""

import re
from pathlib import Path

from ser.core.errors import InputError
from ser.corpora import archive

SOURCE = archive.Source(
    name="ravdess",
    url="https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
    checksums=Path(__file__).with_suffix(".sha256"),
)
EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
INTENSITIES = {"01": "normal", "02": "strong"}
NAME = re.compile(r"03-01-(0[1-8])-(0[12])-(0[12])-0[12]-(0[1-9]|1[0-9]|2[0-4])\.wav")


def fetch(target: Path, mirror: Path | None) -> None:
    """Fill the folder `target` with Actor_*/*.wav; see `archive.fetch`."""
    archive.fetch(SOURCE, target, mirror)


def parse(path: Path) -> dict[str, str]:
    """Speaker, sex, emotion, text and intensity from a file name; raises InputError for any other name."""
    match = NAME.fullmatch(path.name)
    if not match:
        raise InputError(
            f"{path}: not a RAVDESS speech file name; expected 03-01 (audio only, speech), emotion 01-08, "
            "intensity, statement, repetition (each 01-02) and actor 01-24, as in 03-01-06-01-02-01-12.wav"
        )
    emotion, intensity, statement, actor = match.groups()
    return {
        "speaker": f"ravdess-{actor}",
        "sex": "male" if int(actor) % 2 else "female",
        "emotion": EMOTIONS[emotion],
        "text": f"ravdess-{statement}",
        "intensity": INTENSITIES[intensity],
    }
