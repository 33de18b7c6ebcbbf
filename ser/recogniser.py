"""An exported model: from a sound file to the probability of each emotion."""

import json
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ser.audio.io import Audio, load_audio
from ser.audio.mel import Mels, melspectrogram
from ser.core import params
from ser.core.errors import InputError
from ser.data.clips import Normaliser, clips_from_mels
from ser.models.classifier import ClassifierSettings, evaluate
from ser.models.exported import FOLDER, Network

LONGEST = 300.0  # seconds of a file
SUFFIXES = {".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav"}  # looked for in folders


@dataclass(frozen=True)
class Recogniser:
    network: Network
    emotions: list[str]
    audio: Audio
    mels: Mels
    frames: int  # of a crop
    facts: dict  # the whole of model.json

    @classmethod
    def load(cls, folder=FOLDER):
        """The model that stage `export` wrote to `folder`; raises InputError where it is missing or damaged."""
        folder = Path(folder)
        try:
            facts = json.loads((folder / "model.json").read_text())
            chosen = facts["params"]
            classifier = params.check(chosen["classifier"], ClassifierSettings, "classifier")
            network = Network(classifier, chosen["mels"]["n_mels"], len(chosen["emotions"]))
            network.load_state_dict(load_file(folder / "model.safetensors"))
            return cls(
                network.eval(),
                chosen["emotions"],
                params.check(chosen["audio"], Audio, "audio"),
                params.check(chosen["mels"], Mels, "mels"),
                classifier.frames,
                facts,
            )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, InputError) as error:
            why = " ".join(str(error).split())
            raise InputError(
                f"{folder}: no readable model ({why}); make it with `dvc repro export`, fetch it with `dvc pull "
                "export`, or take that of the demo with `dvc exp apply demo`"
            ) from None

    def samples(self, path, longest=LONGEST):
        """The samples float32 `[n]` of a sound file, as ser.audio.load prepares them.

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

    def mel(self, samples):
        """Their mel spectrogram float32 `[n_mels, frames]`, in dB below its peak."""
        return melspectrogram(samples, self.audio.sample_rate, self.mels).T

    def probabilities(self, mel):
        """The probability of each emotion `[emotions]` for a mel `[n_mels, frames]`, heard as the study's clips."""
        clip = clips_from_mels(torch.from_numpy(mel)[None], torch.zeros(1, dtype=torch.long))
        normalise = Normaliser(self.network.mean, self.network.std)
        logits = evaluate(self.network.classifier, normalise, clip, self.frames, "fp32")
        return torch.softmax(logits[0], 0).numpy()

    def __call__(self, path):
        """`{emotion: probability}` of a sound file."""
        return dict(zip(self.emotions, self.probabilities(self.mel(self.samples(path))).tolist(), strict=True))


def files(paths):
    """The sound files among `paths`, in order; folders stand for all that are in them, at any depth.

    Raises InputError for a path that does not exist and for a folder without sound files.
    """
    found = []
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
