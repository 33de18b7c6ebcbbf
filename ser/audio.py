"""From a sound file to mono samples at one rate."""

from typing import Literal

import librosa
import numpy as np
import soundfile
import soxr
from pydantic import Field

from ser.errors import InputError
from ser.params import Section


class Audio(Section):
    sample_rate: int = Field(gt=0)
    channel: Literal["mean", "first"]
    trim_db: float | None = Field(gt=0)


def load(path, settings):
    """Read the sound file at `path` as float32 samples `[n]`, mono, at `settings.sample_rate` Hz, silence trimmed.

    Several channels are averaged, or the first is taken. Leading and trailing parts more than `trim_db` below
    the peak are cut (librosa.effects.trim); None keeps them. Raises InputError for a file that is unreadable,
    empty, silent or holds values that are not finite.
    """
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise InputError(f"{path}: not a readable sound file ({error}); replace it or remove it") from None
    mono = samples.mean(axis=1) if settings.channel == "mean" else samples[:, 0]
    if not mono.size or not np.isfinite(mono).all() or not mono.any():
        raise InputError(f"{path}: no sound in it (empty, silent or not finite); replace it or remove it")
    mono = soxr.resample(mono, rate, settings.sample_rate)
    if settings.trim_db is not None:
        mono, _ = librosa.effects.trim(mono, top_db=settings.trim_db)
    return mono
