"""An exported model: from a sound file to the probability of each emotion."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ser.audio.io import SUFFIXES, AudioConfig, Recording, read_audio, read_segments, to_mono
from ser.audio.mel import MelConfig, melspectrogram
from ser.audio.mel_scale import frequencies
from ser.core import params
from ser.core.errors import InputError
from ser.core.files import skipped, walk
from ser.data.clips import Normaliser, clips_from_mels
from ser.models.classifier import ClassifierConfig, build_classifier, evaluate
from ser.models.exported import FOLDER, Network

LONGEST = 600.0  # seconds of a file that gets one answer
PAUSE_DB = 40.0  # a segment so far below the loudest one of its file is a pause
NARROW = 4000.0  # Hz, the band of telephone speech
NARROW_DB = (
    -55.0
)  # largest part above NARROW of a narrow recording: those of 8 kHz stay below -63, the corpora above -42


@dataclass(frozen=True)
class Answer:
    """What the model says about a sound."""

    probabilities: dict[str, float]  # of each emotion
    unsure: bool  # whether the highest one is below the model's threshold
    notices: list[str]  # why the answer may be worth less than usual

    @property
    def emotion(self) -> str:
        """The most probable one."""
        return max(self.probabilities, key=lambda emotion: self.probabilities[emotion])


@dataclass(frozen=True)
class Recognition:
    """An answer, and what it is computed from."""

    answer: Answer
    samples: np.ndarray  # float32 [n], as the model takes them
    mel: np.ndarray  # float32 [n_mels, frames], dB below its peak


@dataclass(frozen=True)
class Segment:
    start: float  # seconds from the start of the file
    end: float
    answer: Answer | None  # None: a pause


@dataclass(frozen=True)
class Recogniser:
    network: Network
    class_names: list[str]
    audio: AudioConfig
    mels: MelConfig
    frames: int  # of a crop
    unsure_below: float  # probability
    facts: dict  # the whole of model.json

    @classmethod
    def load(cls, folder: Path | str = FOLDER) -> "Recogniser":
        """The model that stage `export` wrote to `folder`; raises InputError where it is missing or damaged."""
        folder = Path(folder)
        try:
            facts = json.loads((folder / "model.json").read_text())
            config = facts["params"]
            classifier = params.check(config["classifier"], ClassifierConfig, "classifier")
            mel_config = params.check(config["mels"], MelConfig, "mels")
            normaliser = Normaliser.blank(mel_config.n_mels)
            network = Network(build_classifier(classifier, normaliser, len(config["emotions"]), seed=0))
            network.load_state_dict(load_file(folder / "model.safetensors"))
            audio_config = params.check(config["audio"], AudioConfig, "audio")
            return cls(
                network.eval(),
                config["emotions"],
                audio_config,
                mel_config,
                classifier.frames,
                float(facts["unsure_below"]),
                facts,
            )
        except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError, InputError) as error:
            why = " ".join(str(error).split())
            raise InputError(
                f"{folder}: no readable model ({why}); the model of the study is in Git: `git checkout -- {FOLDER}`, "
                "and `dvc repro export` makes it anew"
            ) from None

    def recognise(self, path: Path | str, longest: float = LONGEST) -> Recognition:
        """The probabilities of the emotions in a sound file, and what they are computed from.

        Raises InputError for a file without usable sound (see `read_audio`), or longer than `longest` seconds.
        """
        return self._recognise(read_audio(path, longest))

    def segments(self, path: Path | str, seconds: float) -> list[Segment]:
        """An answer for every `seconds` of a sound file of any length; the last segment is shorter.

        Each segment is recognised by itself. Pauses get no answer: what is silent, shorter than a clip may be, or
        PAUSE_DB below the loudest segment. Raises InputError for an unreadable file, or one of pauses only.
        """
        segments, peaks = [], []
        for number, recording in enumerate(read_segments(path, seconds)):
            start = round(number * seconds, 3)
            end = round(start + recording.seconds, 3)
            try:
                if problem := recording.problem():
                    raise InputError(problem)
                recognition = self._recognise(recording)
            except InputError:
                segments.append(Segment(start, end, None))
                peaks.append(0.0)
                continue
            segments.append(Segment(start, end, recognition.answer))
            peaks.append(float(np.ptp(recognition.samples)) / 2)  # without a constant offset
        if not any(peaks):
            raise InputError(f"{path}: no segment of {seconds:g} s holds any sound")
        least = max(peaks) * 10 ** (-PAUSE_DB / 20)
        return [
            segment if peak > least else Segment(segment.start, segment.end, None)
            for segment, peak in zip(segments, peaks, strict=True)
        ]

    def _recognise(self, recording: Recording) -> Recognition:
        samples = to_mono(recording, self.audio)
        mel = melspectrogram(samples, self.audio.sample_rate, self.mels)
        if mel.shape[1] < 2:
            milliseconds = 1000 * len(samples) / self.audio.sample_rate
            raise InputError(f"{recording.path}: lasts {milliseconds:.1f} ms, which is too short")
        probabilities = dict(zip(self.class_names, self.probabilities([mel])[0].tolist(), strict=True))
        notices = recording.notices(self.audio) + self.band_notices(mel)
        return Recognition(self.answer(probabilities, notices), samples, mel)

    def answer(self, probabilities: dict[str, float], notices: list[str]) -> Answer:
        """The answer with these probabilities of each emotion; unsure where the highest is below `unsure_below`."""
        return Answer(probabilities, max(probabilities.values()) < self.unsure_below, notices)

    def band_notices(self, mel: np.ndarray) -> list[str]:
        """A notice where the mel bands above NARROW hold nothing."""
        lowest = frequencies(self.mels.n_mels + 2, self.mels.fmin, self.mels.fmax)[:-2]
        above = mel[lowest >= NARROW]
        if not above.size or above.max() > NARROW_DB:
            return []
        return [f"nothing above {NARROW / 1000:g} kHz, as in telephone recordings: the answer is less reliable"]

    def probabilities(self, mels: Sequence[np.ndarray]) -> np.ndarray:
        """The probabilities `[mels, classes]` of mels `[n_mels, frames]`, evaluated like the study's clips."""
        clips = clips_from_mels([torch.from_numpy(mel) for mel in mels], torch.zeros(len(mels), dtype=torch.long))
        logits = evaluate(self.network.classifier, clips, self.frames, "fp32")
        return torch.softmax(logits / self.network.temperature, 1).numpy()

    def __call__(self, path: Path | str) -> dict[str, float]:
        """The probability of each emotion in a sound file."""
        return self.recognise(path).answer.probabilities


def sound_files(path: Path | str) -> tuple[list[Path], list[str]]:
    """The sound files that `path` stands for, in order, and notices about what is skipped.

    A folder stands for all that are in it, at any depth (see `walk`), any other path for itself. Raises InputError for
    a folder without sound files.
    """
    path = Path(path)
    if not path.is_dir():
        return [path], []
    files = sorted(walk(path))
    sounds = [file for file in files if file.suffix.lower() in SUFFIXES]
    notices = skipped(path, [file for file in files if file.suffix.lower() not in SUFFIXES], SUFFIXES)
    if not sounds:
        raise InputError("; ".join([f"{path}: no sound files in this folder", *notices]))
    return sounds, notices
