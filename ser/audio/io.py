"""From a sound file to mono samples at one rate."""

from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr
from pydantic import Field

from ser.core.errors import InputError
from ser.core.params import Config

LONGEST = 600.0  # seconds of a file
LARGEST = 1 << 26  # samples of a file in all its channels: 256 MiB in single precision
FAINTEST, LOUDEST = 1e-9, 1e9  # peak, of full scale; squares beyond these do not fit single precision
BLOCK = 512  # samples; loudness is measured over four blocks, as by librosa.effects.trim


class AudioConfig(Config):
    sample_rate: int = Field(gt=0)
    channel: Literal["mean", "first"]
    trim_db: float | None = Field(gt=0)


def load_audio(path: Path | str, config: AudioConfig) -> np.ndarray:
    """Read a sound file as mono float32 samples `[n]` at `config.sample_rate` Hz, with silence trimmed.

    Channels are averaged, or the first one is taken. The start and the end are cut where they stay more than
    `config.trim_db` below the peak (see `trim`); None keeps them. Raises InputError for a file that is unreadable,
    empty, silent or too large (see `duration`), or that holds values that are not finite.
    """
    try:
        samples, rate = _decode(path)
    except soundfile.SoundFileError as error:
        raise InputError(f"{path}: not a readable sound file ({error}); replace it or remove it") from None
    average = config.channel == "mean" and samples.shape[1] > 1
    mono = samples.mean(axis=1) if average else samples[:, 0]
    mono = soxr.resample(mono, rate, config.sample_rate)
    if not mono.size or not FAINTEST < np.maximum(mono.max(), -mono.min()) < LOUDEST:  # NaN compares as false
        raise InputError(f"{path}: no sound in it (empty, silent or not finite); replace it or remove it")
    return mono if config.trim_db is None else trim(mono, config.trim_db)


def duration(path: Path | str, sound: soundfile.SoundFile) -> float:
    """The duration in seconds of an open SoundFile, from its header.

    Raises InputError where it is longer than LONGEST or has more than LARGEST samples in all channels.
    """
    seconds = sound.frames / sound.samplerate
    if seconds > LONGEST or sound.frames * sound.channels > LARGEST:
        raise InputError(
            f"{path}: lasts {seconds:,.0f} s at {sound.channels} channels of {sound.samplerate:,} Hz; up to "
            f"{LONGEST:g} s and {LARGEST:,} samples are accepted; cut it into pieces"
        )
    return seconds


def _decode(path: Path | str) -> tuple[np.ndarray, int]:
    """All samples of a file, float32 `[n, channels]`, and its rate. Scaling 16 bits here is exact, and faster."""
    with soundfile.SoundFile(path) as sound:
        duration(path, sound)
        if sound.subtype != "PCM_16":
            return sound.read(dtype="float32", always_2d=True), sound.samplerate
        return sound.read(dtype="int16", always_2d=True) * np.float32(2**-15), sound.samplerate


def trim(samples: np.ndarray, decibels: float) -> np.ndarray:
    """Cut the start and the end of `samples` [n] where they stay `decibels` below the loudest part.

    The same as `librosa.effects.trim(samples, top_db=decibels)`: the loudness at every multiple of BLOCK is the mean
    power of the two blocks before and the two blocks after it, with silence beyond the ends.
    """
    whole = len(samples) // BLOCK * BLOCK
    blocks, rest = samples[:whole].reshape(-1, BLOCK), samples[whole:]
    power = np.append(np.einsum("ij,ij->i", blocks, blocks), rest @ rest)
    power = np.convolve(power, np.ones(4))[1:-2]
    loud = np.flatnonzero(power > power.max() * 10 ** (-decibels / 10))
    return samples[loud[0] * BLOCK : (loud[-1] + 1) * BLOCK]
