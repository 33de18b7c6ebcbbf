"""An exported model: from a sound file to the probability of each emotion."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ser.audio.io import AudioConfig, load_audio
from ser.audio.mel import MelConfig, melspectrogram
from ser.core import params
from ser.core.errors import InputError
from ser.data.clips import Normaliser, clips_from_mels
from ser.models.classifier import ClassifierConfig, build_classifier, evaluate
from ser.models.exported import FOLDER, Network

LONGEST = 300.0  # seconds of a file
SUFFIXES = {".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav"}  # looked for in folders


@dataclass(frozen=True)
class Recogniser:
    network: Network
    class_names: list[str]
    audio: AudioConfig
    mels: MelConfig
    frames: int  # of a crop
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
            return cls(network.eval(), config["emotions"], audio_config, mel_config, classifier.frames, facts)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, InputError) as error:
            why = " ".join(str(error).split())
            raise InputError(
                f"{folder}: no readable model ({why}); make it with `dvc repro export`, fetch it with `dvc pull "
                "export`, or take that of the demo with `dvc exp apply demo`"
            ) from None

    def samples(self, path: Path | str, longest: float = LONGEST) -> np.ndarray:
        """The samples float32 `[n]` of a sound file, as ser.audio.io.load_audio prepares them.

        Raises InputError for a file that is not sound, silent, or longer than `longest` seconds.
        """
        try:
            seconds = soundfile.info(path).duration
        except (OSError, TypeError, soundfile.SoundFileError) as error:  # TypeError: samples without a header
            why = getattr(error, "error_string", error)
            raise InputError(f"{path}: not a readable sound file ({why})") from None
        if seconds > longest:
            raise InputError(f"{path}: lasts {seconds:,.0f} s; up to {longest:g} s are taken, cut it into pieces")
        return load_audio(path, self.audio)

    def mel(self, samples: np.ndarray) -> np.ndarray:
        """The mel spectrogram float32 `[n_mels, frames]` of samples `[n]`, in dB below its peak."""
        return melspectrogram(samples, self.audio.sample_rate, self.mels)

    def probabilities(self, mel: np.ndarray) -> np.ndarray:
        """The probability of each class `[classes]` for a mel `[n_mels, frames]`, evaluated like the study's clips."""
        clip = clips_from_mels(torch.from_numpy(mel)[None], torch.zeros(1, dtype=torch.long))
        logits = evaluate(self.network.classifier, clip, self.frames, "fp32")
        return torch.softmax(logits[0], 0).numpy()

    def __call__(self, path: Path | str) -> dict[str, float]:
        """The probability of each emotion in a sound file."""
        return dict(zip(self.class_names, self.probabilities(self.mel(self.samples(path))).tolist(), strict=True))


def files(paths: Iterable[Path | str]) -> list[Path]:
    """The sound files among `paths`, in order; folders stand for all that are in them, at any depth.

    Raises InputError for a path that does not exist and for a folder without sound files.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"{path} does not exist")
        inside = [path]
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in SUFFIXES)
            if not inside:
                raise InputError(f"{path}: no sound files in this folder")
        found += inside
    return found
