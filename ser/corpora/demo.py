"""The demo corpus: sentences spoken by espeak-ng in ten voices, with a prosody for each emotion.

It shows that everything works without a download; it says nothing about people. Each clip is the neutral voice of a
speaker, plus the offset of an emotion as that speaker expresses it, plus the variation of one take. espeak-ng controls
pitch, range and tempo; level, spectral tilt, roughness, breath, tremor, room and microphone noise are added here.

Every run gives the same bytes, for all clips or some of them, in any order: random numbers are seeded by the name of
the clip, and everything in espeak-ng whose state lasts from one clip to the next is switched off, namely flutter,
breath, roughness (its cycle counter) and automatic gain (by a volume that leaves headroom).
"""

import ctypes
import hashlib
import io
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from scipy.signal import butter, fftconvolve, sosfilt

from ser.core.errors import FULL, InputError
from ser.core.stage import progress

SAMPLE_RATE = 22050

TEXTS = {
    "de1": "Am Abend fahren wir an den See.",
    "de2": "Die Blätter fallen in den Garten.",
    "en1": "The letter came with the train.",
    "en2": "We will meet behind the station.",
}
LANGUAGES = {"de": "de", "en": "en-us"}
TAKES = ("1", "2")
SILENCE = (0.05, 0.15)  # seconds before and after the sentence

# Offsets from a speaker's neutral voice. The directions of pitch, range, tempo, level and tilt for anger, fear,
# happiness and sadness follow the review of Scherer (2003), Speech Communication 40, 227-256. The other directions and
# all sizes are set by hand, so that the task is neither trivial nor hopeless.
PROSODY = ("pitch", "range", "tempo", "level", "tilt", "rough", "breath", "tremor")
EMOTIONS = {
    # pitch and range in semitones, tempo in %, level in dB, tilt in dB per octave, the others as shares
    "anger": (+3.0, +4.0, +12.0, +6.0, +2.0, 0.30, 0.00, 0.00),
    "disgust": (-1.5, +1.0, -14.0, -1.0, +0.5, 0.20, 0.06, 0.00),
    "fear": (+5.0, -1.0, +16.0, +1.0, +0.8, 0.00, 0.10, 0.35),
    "happiness": (+4.0, +5.0, +6.0, +3.0, +1.0, 0.00, 0.02, 0.00),
    "neutral": (0.0, 0.0, 0.0, 0.0, 0.0, 0.00, 0.00, 0.00),
    "sadness": (-2.0, -3.0, -18.0, -6.0, -2.0, 0.00, 0.14, 0.08),
}
HABIT = 0.35  # standard deviation over speakers of how they express an emotion, as a share of the offset
TAKE = (0.9, 0.9, 4.5, 1.4, 0.5, 0.05, 0.02, 0.05)  # standard deviation over takes, in the same units


@dataclass(frozen=True)
class Speaker:
    """A neutral voice and the room that it is recorded in."""

    variant: str  # espeak-ng's voice variant: formants, stress
    pitch: float  # lower end of the pitch range, Hz
    range: float  # pitch range, semitones
    tempo: float  # words per minute
    level: float  # dB, from the distance to the microphone
    tilt: float  # dB per octave, from voice and microphone
    decay: float  # decay time of the room (RT60), seconds
    noise: float  # noise floor, dB full scale


SPEAKERS = {
    "f1": Speaker("f1", 165, 6.0, 175, +1.0, +0.3, 0.15, -66),
    "f2": Speaker("f2", 180, 5.0, 160, -2.0, -0.6, 0.25, -60),
    "f3": Speaker("f3", 150, 7.0, 185, +0.0, +0.8, 0.10, -70),
    "f4": Speaker("f4", 195, 6.0, 165, -3.0, -0.2, 0.35, -58),
    "f5": Speaker("f5", 172, 8.0, 178, +2.0, -1.0, 0.20, -64),
    "m1": Speaker("m1", 92, 6.0, 170, -1.0, +0.5, 0.20, -62),
    "m2": Speaker("m2", 80, 5.0, 155, +2.0, -0.8, 0.30, -68),
    "m3": Speaker("m3", 105, 7.0, 182, -3.0, +0.0, 0.12, -59),
    "m4": Speaker("m7", 88, 8.0, 164, +0.0, +1.0, 0.25, -65),
    "m5": Speaker("m5", 112, 5.0, 176, +1.0, -0.4, 0.18, -70),
}


def clips() -> list[str]:
    """The names of all clips, `speaker_emotion_text_take`."""
    return ["_".join(parts) for parts in product(SPEAKERS, EMOTIONS, TEXTS, TAKES)]


def fetch(target: Path, mirror: Path | None = None, names: list[str] | None = None) -> None:
    """Write the clips `names`, by default all, to the folder `target` as mono PCM16 wav files of 22,050 Hz.

    `mirror` is ignored, as nothing is downloaded. Raises InputError where espeak-ng cannot be used.
    """
    target.mkdir(parents=True, exist_ok=True)
    with Synthesiser() as synthesiser:
        for name in progress(clips() if names is None else names, "speaking", unit="clip"):
            wav = io.BytesIO()
            soundfile.write(wav, speak(synthesiser, name), SAMPLE_RATE, format="WAV", subtype="PCM_16")
            (target / f"{name}.wav").write_bytes(wav.getvalue())


def parse(path: Path) -> dict[str, str]:
    """Speaker, sex, emotion, text and intensity from a file name such as `f1_anger_de1_2.wav`."""
    path = Path(path)
    if path.suffix != ".wav" or path.stem not in clips():
        raise InputError(
            f"{path}: not a clip of the demo corpus; expected SPEAKER_EMOTION_TEXT_TAKE.wav with speaker in "
            f"{', '.join(SPEAKERS)}, emotion in {', '.join(EMOTIONS)}, text in {', '.join(TEXTS)} "
            f"and take in {', '.join(TAKES)}, such as f1_anger_de1_2.wav; "
            "remove the file or generate the corpus again"
        )
    speaker, emotion, text, _ = path.stem.split("_")
    return {
        "speaker": f"demo-{speaker}",
        "sex": "female" if speaker.startswith("f") else "male",
        "emotion": emotion,
        "text": f"demo-{text}",
        "intensity": "normal",
    }


def speak(synthesiser: "Synthesiser", name: str) -> np.ndarray:
    """The clip `name` as float samples in -1..1."""
    speaker_id, emotion, text, _ = name.split("_")
    speaker, rng = SPEAKERS[speaker_id], _rng(name)
    habit = 1 + HABIT * _rng(f"{speaker_id}_{emotion}").standard_normal(len(PROSODY))
    offset = np.array(EMOTIONS[emotion]) * habit + TAKE * rng.standard_normal(len(PROSODY))
    change = dict(zip(PROSODY, offset, strict=True))

    low = speaker.pitch * 2 ** (change["pitch"] / 12)
    high = low * 2 ** (max(speaker.range + change["range"], 0.5) / 12)
    tempo = speaker.tempo * (1 + change["tempo"] / 100)
    samples = synthesiser.say(TEXTS[text], LANGUAGES[text[:2]], speaker.variant, (low, high), tempo)
    samples = np.pad(samples, [round(seconds * SAMPLE_RATE) for seconds in SILENCE])

    rough, breath, tremor = (max(change[kind], 0.0) for kind in ("rough", "breath", "tremor"))
    samples = _voice_quality(samples, rough, breath, tremor, rng)
    samples = _tilted(samples, speaker.tilt + change["tilt"])
    samples = _in_room(samples, speaker.decay, _rng(speaker_id))
    samples *= _amplitude(-26 + speaker.level + change["level"]) / np.sqrt(np.mean(samples**2))
    samples += _amplitude(speaker.noise) * rng.standard_normal(len(samples))
    return samples * min(1.0, 0.9 / np.abs(samples).max())


class Synthesiser:
    """espeak-ng through its C interface (speak_lib.h); a context manager, as the state of the library is global.

    espeak_Initialize with AUDIO_OUTPUT_SYNCHRONOUS passes samples to the function set by espeak_SetSynthCallback.
    espeak_SetVoiceByName takes `language+variant`, espeak_SetParameter tempo and volume, espeak_Synth a text. The
    variants are in a copy of the few data files that are needed, where a variant with the pitch of a clip is written.
    """

    def __enter__(self) -> "Synthesiser":
        with ExitStack() as undo:
            try:
                import espeakng_loader

                installed = Path(espeakng_loader.get_data_path())
                self._library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
                folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="espeak-")))
                self._variants = folder / "espeak-ng-data" / "voices" / "!v"
                for name in self._DATA:
                    copy = folder / "espeak-ng-data" / name
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(installed / name, copy)
                rate = self._library.espeak_Initialize(self._SYNCHRONOUS, 0, str(folder).encode(), self._DONT_EXIT)
                if rate != SAMPLE_RATE:
                    raise OSError(f"espeak_Initialize returned {rate}, not the sample rate {SAMPLE_RATE}")
            except (ImportError, AttributeError, OSError) as error:
                if getattr(error, "errno", None) in FULL:
                    raise
                raise _unusable(error) from error
            undo.callback(self._library.espeak_Terminate)
            self._chunks: list[np.ndarray] = []
            self._callback = self._CALLBACK(self._receive)
            self._library.espeak_SetSynthCallback(self._callback)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def say(self, text: str, language: str, variant: str, pitch: tuple[float, float], tempo: float) -> np.ndarray:
        """Samples in -1..1 of `text`, with a pitch range in Hz and a tempo in words per minute."""
        base = (self._variants / variant).read_text(encoding="utf-8")
        (self._variants / "clip").write_text(
            f"{base}\npitch {pitch[0]:.0f} {pitch[1]:.0f}\n{self._NO_NOISE}", encoding="utf-8"
        )
        self._chunks.clear()
        encoded = text.encode()
        self._call("espeak_SetVoiceByName", f"{language}+clip".encode())
        self._call("espeak_SetParameter", self._RATE, round(tempo), 0)
        self._call("espeak_SetParameter", self._VOLUME, 60, 0)
        self._call("espeak_Synth", encoded, len(encoded) + 1, 0, 0, 0, self._UTF8, None, None)
        return np.concatenate(self._chunks) / 2**15

    def _call(self, function: str, *arguments: Any) -> None:
        status = self._library[function](*arguments)
        if status != 0:
            raise _unusable(f"{function} returned {status} for {arguments}")

    def _receive(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    _SYNCHRONOUS, _DONT_EXIT, _RATE, _VOLUME, _UTF8 = 2, 0x8000, 1, 2, 1  # constants of speak_lib.h
    _CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    # Roughness has the levels 0 to 7. Level 0 still weakens every fourth cycle of a creaky vowel, by a counter that
    # runs on from clip to clip; above 7 there is no such modulation (wavegen.c, modulation_tab).
    _NO_NOISE = "flutter 0\nroughness 8\nbreath 0 0 0 0 0 0 0 0\necho 0 0\n"
    _DATA = (
        "phondata",
        "phonindex",
        "phontab",
        "intonations",
        "de_dict",
        "en_dict",
        "lang/gmw/de",
        "lang/gmw/en-US",
        *(f"voices/!v/{speaker.variant}" for speaker in SPEAKERS.values()),
    )


def _unusable(reason: object) -> InputError:
    return InputError(
        f"espeak-ng, which speaks the demo corpus, cannot be used ({reason}); reinstall the "
        "requirements: pip install --force-reinstall -r requirements.txt"
    )


def _rng(name: str) -> np.random.Generator:
    """Random numbers seeded by a name, the same in every process."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


def _amplitude(decibels: np.ndarray | float) -> np.ndarray | float:
    return 10 ** (decibels / 20)


def _lowpass(samples: np.ndarray, cutoff: float) -> np.ndarray:
    return sosfilt(butter(2, cutoff, fs=SAMPLE_RATE, output="sos"), samples)


def _voice_quality(
    samples: np.ndarray, rough: float, breath: float, tremor: float, rng: np.random.Generator
) -> np.ndarray:
    """Rough: amplitude jitter below 70 Hz; breath: noise that follows the voice; tremor: 5 to 8 Hz."""
    time = np.arange(len(samples)) / SAMPLE_RATE
    jitter = _lowpass(rng.standard_normal(len(samples)), 70)
    breathing = rng.standard_normal(len(samples)) * _lowpass(np.abs(samples), 20)
    trembling = np.sin(2 * np.pi * (rng.uniform(5, 8) * time + rng.uniform()))
    return (samples * (1 + rough * jitter / jitter.std()) + breath * breathing) * (1 + tremor * trembling)


def _tilted(samples: np.ndarray, tilt: float) -> np.ndarray:
    """Samples with a spectrum that rises by `tilt` dB per octave."""
    frequencies = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    gain = _amplitude(tilt * np.log2(np.maximum(frequencies, 50) / 1000))
    return np.fft.irfft(np.fft.rfft(samples) * gain, len(samples))


def _in_room(samples: np.ndarray, decay: float, rng: np.random.Generator) -> np.ndarray:
    """Samples in a small room, whose response is exponentially decaying noise, 10 dB below the voice."""
    time = np.arange(round(decay * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time)) * _amplitude(-60 * time / decay)
    tail *= _amplitude(-10) / np.sqrt(np.sum(tail**2))
    return samples + fftconvolve(samples, tail)[: len(samples)]
