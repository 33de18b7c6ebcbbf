"""From a sound file to mono samples at one rate.

One decoder reads files for the catalogue, for the mels and for `predict`, so that they agree on what is readable. It
reads to the end of a file: headers of streams do not know where that is.
"""

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import soundfile
import soxr
from pydantic import Field

from ser.core.errors import InputError
from ser.core.params import Config

LONGEST = 600.0  # seconds of a file
SHORTEST = 0.05  # seconds of a file: an analysis window of the mels has 46 ms
LARGEST = 1 << 26  # samples of a file in all its channels: 256 MiB in single precision
SILENCE = 1e-4  # half the range of the samples, of full scale; the softest clip of RAVDESS has 0.005
LOUDEST = 1e9  # peak, of full scale; squares beyond it do not fit single precision
CANCELLED = 0.1  # power of the mean of the channels, of what it would be if they were independent
OFFSET = 0.1  # mean, in standard deviations of the samples; clips of EmoDB and RAVDESS stay below 0.05
BLOCK = 512  # samples; loudness is measured over four blocks, as by librosa.effects.trim
DECODED = 1 << 18  # samples in all channels that are decoded at a time

_SUFFIXES = {  # by the names that libsndfile has for formats; raw samples, matrices and instruments are left out
    "AIFF": (".aif", ".aifc", ".aiff"),
    "AU": (".au", ".snd"),
    "AVR": (".avr",),
    "CAF": (".caf",),
    "FLAC": (".flac",),
    "IRCAM": (".sf",),
    "MP3": (".mp3",),
    "NIST": (".nist", ".sph"),
    "OGG": (".oga", ".ogg", ".opus"),
    "PAF": (".paf",),
    "PVF": (".pvf",),
    "RF64": (".rf64",),
    "SVX": (".iff", ".svx"),
    "VOC": (".voc",),
    "W64": (".w64",),
    "WAV": (".wav",),
    "WVE": (".wve",),
}
SUFFIXES = tuple(
    sorted(suffix for name in soundfile.available_formats() for suffix in _SUFFIXES.get(name, ()))
)  # of the files that are read, by this version of libsndfile


class AudioConfig(Config):
    sample_rate: int = Field(gt=0)
    channel: Literal["mean", "first"]
    trim_db: float | None = Field(gt=0)
    remove_mean: bool = False  # experiments and models from before this key lack it


@dataclass(frozen=True)
class Recording:
    """All that a sound file holds."""

    path: Path | str
    samples: np.ndarray  # float32 [n, channels]
    rate: int  # Hz

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def problem(self) -> str:
        """Why there is no usable sound in it; empty where there is."""
        samples = self.samples
        if not samples.size:
            return "empty, no samples"
        peak = np.maximum(samples.max(), -samples.min()) + 0.0  # not -0.0
        if not np.isfinite(peak):  # NaN stays NaN
            return "holds samples that are not finite (NaN or infinity)"
        if peak > LOUDEST:
            return f"no sound, its peak is {peak:.1e} of full scale"
        if self.seconds < SHORTEST:
            return f"lasts {1000 * self.seconds:.1f} ms; at least {1000 * SHORTEST:g} ms are needed"
        if _half_range(samples).max() < SILENCE:
            return f"silent, its peak is {peak:.1e} of full scale" if peak < SILENCE else "silent, a constant"
        return ""

    def notices(self, config: AudioConfig | None = None) -> list[str]:
        """What is odd about the sound, and what is done about it; without a `config` whatever it may be."""
        notices = []
        if (config is None or config.channel == "mean") and _cancel(self.samples):
            notices.append("its channels cancel each other; the loudest one is taken instead of their mean")
        offset = float(np.abs(self.samples.mean(axis=0)).max())
        if (config is None or not config.remove_mean) and offset > OFFSET * float(self.samples.std(axis=0).max()):
            notices.append(
                f"a constant offset of {offset:.1%} of full scale distorts its mel (see `audio.remove_mean` in "
                "params.yaml)"
            )
        return notices


def load_audio(path: Path | str, config: AudioConfig) -> np.ndarray:
    """The samples float32 `[n]` of a sound file at `config.sample_rate` Hz; see `read_audio` and `to_mono`."""
    return to_mono(read_audio(path), config)


def to_mono(recording: Recording, config: AudioConfig) -> np.ndarray:
    """A recording as mono float32 samples `[n]` at `config.sample_rate` Hz, with silence trimmed.

    Channels are averaged, or the first one is taken; where they cancel each other, the loudest one is. The start and
    the end are cut where they stay more than `config.trim_db` below the peak (see `trim`); None keeps them. Raises
    InputError where nothing is left: a silent first channel, sound above half of `config.sample_rate`.
    """
    samples = recording.samples
    if config.channel == "first" or samples.shape[1] == 1:
        mono = samples[:, 0]
    elif _cancel(samples):
        mono = samples[:, samples.var(axis=0).argmax()]
    else:
        mono = samples.mean(axis=1)
    if config.remove_mean:
        mono = mono - mono.mean()
    mono = soxr.resample(np.ascontiguousarray(mono), recording.rate, config.sample_rate)
    if not mono.size or not _half_range(mono) > SILENCE * _half_range(samples).max():  # NaN compares as false
        what = "its first channel" if config.channel == "first" else f"what is left at {config.sample_rate:,} Hz"
        raise InputError(f"{recording.path}: no sound in it ({what} is silent)")
    return mono if config.trim_db is None else trim(mono, config.trim_db)


def read_audio(path: Path | str, longest: float = LONGEST) -> Recording:
    """All samples of a sound file, which is decoded from start to end.

    Raises one InputError that names the file where it is unreadable, truncated, silent, shorter than SHORTEST or longer
    than `longest` seconds, has more than LARGEST samples in all channels, or holds values that are not finite.
    """
    blocks, total = [], 0
    for block, rate in _decode(path):
        blocks.append(block)
        total += len(block)
        channels = block.shape[1]
        if total > longest * rate or total * channels > LARGEST:
            raise InputError(
                f"{path}: too long, at {channels} channels of {rate:,} Hz; up to {longest:g} s and {LARGEST:,} "
                "samples are taken, cut it into pieces"
            )
    recording = Recording(path, _in_single_precision(np.concatenate(blocks)), rate)
    if problem := recording.problem():
        raise InputError(f"{path}: {problem}")
    return recording


def read_segments(path: Path | str, seconds: float) -> Iterator[Recording]:
    """The sound of a file of any length in consecutive segments of `seconds`; the last one is shorter.

    What is wrong with a segment says its `problem`. Raises InputError where the file is unreadable or truncated.
    """
    blocks = _decode(path)
    rest, rate = next(blocks)
    size = round(seconds * rate)
    for block, _ in blocks:
        rest = np.concatenate([rest, block])
        while len(rest) >= size:
            yield Recording(path, _in_single_precision(rest[:size]), rate)
            rest = rest[size:]
    if len(rest):
        yield Recording(path, _in_single_precision(rest), rate)


def _half_range(samples: np.ndarray) -> np.ndarray:
    """Half of the distance from the lowest to the highest sample, of each channel: the peak without an offset."""
    return samples.max(axis=0) / 2 - samples.min(axis=0) / 2


def _cancel(samples: np.ndarray) -> bool:
    """Whether the mean of channels `[n, channels]` is much softer than they are, as of one that is inverted."""
    if samples.shape[1] == 1:
        return False
    return bool(samples.shape[1] * samples.mean(axis=1).var() < CANCELLED * samples.var(axis=0).mean())


class _Stream(soundfile.SoundFile):
    """A sound file that is only read forwards, as far as there is anything, not as far as its header says."""

    def seekable(self) -> bool:
        return False


def _decode(path: Path | str) -> Iterator[tuple[np.ndarray, int]]:
    """The samples of a file in blocks `[n, channels]`, int16 or float32, and their rate; the first block is empty."""
    try:
        with open(path, "rb", buffering=0) as file:
            source, missing = _check_wav(file)
            with _Stream(source, closefd=False) as sound:
                channels, rate, total = sound.channels, sound.samplerate, 0
                kind = "int16" if sound.subtype == "PCM_16" else "float32"
                yield np.zeros((0, channels), kind), rate
                while len(block := sound.read(max(1, DECODED // channels), kind, always_2d=True)):
                    total += len(block)
                    yield block, rate
            if missing * total > SHORTEST * rate * os.fstat(file.fileno()).st_size:  # less is a mistake in its header
                raise InputError(f"{path}: truncated, {missing:,} bytes of audio are missing")
    except (InputError, MemoryError):
        raise
    except Exception as error:  # whatever the reader raises, this file is the reason
        why = getattr(error, "error_string", "") or getattr(error, "strerror", "") or error
        raise InputError(f"{path}: not a readable sound file ({why})") from None


def _in_single_precision(samples: np.ndarray) -> np.ndarray:
    """Scaling 16 bits here is exact, and faster than in the decoder."""
    return samples * np.float32(2**-15) if samples.dtype == np.int16 else samples


def _check_wav(file: IO[bytes]) -> tuple[Any, int]:
    """What to decode of an open file, and how many bytes its header promises beyond its end.

    Only wav files are looked into: decoders end where the file does and do not say that its header promises more. A
    size of 0, or one larger than any file that is accepted, is that of a stream, whose writer did not know it.
    """
    if not file.seekable():
        return file.fileno(), 0
    magic, total, kind = struct.unpack("<4sI4s", (file.read(12) + bytes(12))[:12])
    start, size = _data_chunk(file, magic) if kind == b"WAVE" else (0, 0)
    rest = os.fstat(file.fileno()).st_size - start
    file.seek(0)
    if start and size == 0 < rest and total + 8 <= start:  # libsndfile would end before what follows
        content = bytearray(file.read(start + 8 * LARGEST))
        content[4:8] = content[start - 4 : start] = b"\xff" * 4
        return io.BytesIO(content), 0
    return file.fileno(), size - rest if rest < size <= 8 * LARGEST else 0


def _data_chunk(file: IO[bytes], magic: bytes) -> tuple[int, int]:
    """Where the samples of a wav file start, and how many bytes they take as its header says; zeros without any."""
    order = {b"RIFF": "<", b"RIFX": ">"}.get(magic, "")
    while order and len(header := file.read(8)) == 8:
        chunk, size = struct.unpack(f"{order}4sI", header)
        if chunk == b"data":
            return file.tell(), size
        file.seek(size + size % 2, os.SEEK_CUR)
    return 0, 0


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
