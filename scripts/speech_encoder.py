"""A linear classifier on a frozen speech encoder on the folds of our runs: `python -m scripts.speech_encoder`.

The encoders were pretrained on far more speech than the corpora hold, and show how much outside data is worth. They are
wav2vec 2.0 (Baevski et al., NeurIPS 2020), WavLM (Chen et al., IEEE J-STSP 16(6), 2022) and the encoder of Whisper
(Radford et al., ICML 2023). Features: the mean over time of the hidden states of one layer, for the same samples that
become mels, at 16 kHz. Classifier: multinomial logistic regression on standardised features. Validation speakers select
the layer and the strength of the regularisation. This is the emotion task of SUPERB (Yang et al., Interspeech 2021)
with one layer in place of a weighted sum of all.

metrics/speech_encoders/NAME.json has the metrics for every setting of the study with a goal. The files of an encoder
are downloaded from huggingface.co at a pinned commit, or read from a folder (`--folder`), and compared with their
published sha256. `make encoder` installs transformers, which is not in requirements.txt.
"""

import argparse
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import safetensors.numpy
import safetensors.torch
import torch
from sklearn.linear_model import LogisticRegression

from scripts import fixed_features, kept_metrics
from scripts.fixed_features import Candidate
from ser.audio.io import AudioConfig, load_audio
from ser.core import params
from ser.core.atomic import replacing
from ser.core.device import setup_torch
from ser.core.errors import InputError
from ser.core.stage import progress, stage
from ser.data import manifest

CACHE = Path("data/speech_encoders")
SAMPLE_RATE = 16_000  # Hz, of all these encoders
COSTS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse strengths of the regularisation
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"


class Published(NamedTuple):
    """A published encoder."""

    commit: str  # of its repository at huggingface.co
    digests: dict[str, str]  # sha256 of CONFIG, of PREPROCESSOR and of the file of weights


PUBLISHED = {
    "facebook/wav2vec2-base": Published(
        "0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8",
        {
            CONFIG: "4937977e24d12d1bba70cdce8709c3c04807a8e4ae8ddac4229c48c436ae99ae",
            PREPROCESSOR: "b225d617c025463b9e157e06afea8b90dc7078fc70b013c533328423e0486b4a",
            "pytorch_model.bin": "3249fe98bfc62fcbc26067f724716a6ec49d12c4728a2af1df659013905dff21",
        },
    ),
    "microsoft/wavlm-base-plus": Published(
        "4c66d4806a428f2e922ccfa1a962776e232d487b",
        {
            CONFIG: "fea6df1c2700a3954fc07e70588aecc9055eeb28db2ff57151a2db0d19180ed4",
            PREPROCESSOR: "99272fe8ccfab114b68b478681ea47ee3a1ce62bb788cb92dd6e4f69fb1f1da2",
            "pytorch_model.bin": "3bb273a6ace99408b50cfc81afdbb7ef2de02da2eab0234e18db608ce692fe51",
        },
    ),
    "openai/whisper-base": Published(
        "e37978b90ca9030d5170a5c07aadb050351a65bb",
        {
            CONFIG: "a153c53883a6799b6f056b4a8d1a515c9926d03994682ba88a7616618d7da0c1",
            PREPROCESSOR: "9b5cd03a36fbb8a627c64d98a5b5b126ead95a77720723944487311f0110b666",
            "model.safetensors": "07cadb9f25677c8d50df603e66a98fbd842cce45047139baeb16e6219a1e807b",
        },
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Extract the features of all clips once, then train and test on the folds of every setting with a goal."""
    parser = argparse.ArgumentParser("python -m scripts.speech_encoder", description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=PUBLISHED, default="microsoft/wavlm-base-plus", help="default: %(default)s")
    parser.add_argument("--folder", type=Path, help="with the published files; default: they are downloaded")
    options = parser.parse_args(arguments)
    check_installed()
    encoder = load(options.folder or download(options.model), options.model)
    catalogue = manifest.load(Path("data/catalogue.csv"))
    config = params.read("audio", AudioConfig).model_copy(update={"sample_rate": SAMPLE_RATE})
    name = options.model.rpartition("/")[2]
    features = extract(encoder, catalogue["path"], config, CACHE / f"{name}-{PUBLISHED[options.model].commit[:8]}")
    layers = [pd.DataFrame(layer, index=catalogue["clip"]) for layer in features.swapaxes(0, 1)]
    fixed_features.evaluate(name, candidates(layers), catalogue, kept_metrics.SPEECH_ENCODERS / f"{name}.json")


def check_installed() -> None:
    """Raise InputError where transformers is not installed."""
    try:
        import transformers
    except ImportError:
        raise InputError("transformers is not installed; install it with `make encoder`") from None
    transformers.logging.set_verbosity_error()  # it would list the weights of the pretraining's heads


def download(name: str) -> Path:
    """Return the folder with the files of an encoder, which are downloaded once to the cache of huggingface_hub."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError

    commit, digests = PUBLISHED[name]
    try:
        paths = [Path(hf_hub_download(name, file, revision=commit)) for file in digests]
    except (HTTPError, LocalEntryNotFoundError) as error:
        why = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"{name} cannot be downloaded ({why}); put {', '.join(digests)} from {_page(name)} into a folder and "
            "pass `--folder FOLDER`"
        ) from None
    return paths[0].parent


def _page(name: str) -> str:
    return f"https://huggingface.co/{name}/tree/{PUBLISHED[name].commit}"


@dataclass(frozen=True)
class FrozenEncoder:
    """A pretrained network that is not trained any further, and what it expects before it."""

    network: Any  # of transformers, in evaluation mode
    preprocessor: Any  # samples to what the network takes

    @property
    def longest(self) -> float:
        """The longest clip in samples. Whisper takes no longer one, and shorter ones are padded to that length."""
        return getattr(self.preprocessor, "n_samples", math.inf)

    @torch.inference_mode()
    def features(self, samples: np.ndarray) -> np.ndarray:
        """Return means over time of hidden states, float32 `[1 + layers, width]`, from samples `[n]` at SAMPLE_RATE.

        The first is of what enters the first layer. Clips are not put together in batches: wav2vec 2.0 and WavLM
        normalise their first convolution over time, so that padding would change the features of a clip.
        """
        inputs = self.preprocessor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt").to(self.network.device)
        states = torch.cat(self.network(**inputs, output_hidden_states=True).hidden_states)
        frames = states.shape[1]
        if math.isfinite(self.longest):
            frames = math.ceil(frames * len(samples) / self.longest)  # without those of the padding
        return states[:, :frames].mean(dim=1).cpu().numpy()


def load(folder: Path, name: str) -> FrozenEncoder:
    """Return the encoder in a folder, on the GPU if there is one.

    Raises InputError where a file is missing or not the published one, and where weights of the network are missing.
    """
    from transformers import MODEL_MAPPING, AutoConfig, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

    check_files(folder, name)
    (path,) = (folder / file for file in PUBLISHED[name].digests if file not in (CONFIG, PREPROCESSOR))
    is_safe = path.suffix == ".safetensors"
    weights = safetensors.torch.load_file(path) if is_safe else torch.load(path, map_location="cpu", weights_only=True)
    config = AutoConfig.from_pretrained(folder / CONFIG)
    network, report = MODEL_MAPPING[type(config)].from_pretrained(
        None, config=config, state_dict=weights, dtype=torch.float32, output_loading_info=True
    )
    if missing := sorted(report["missing_keys"]):
        raise InputError(
            f"{path}: no weights for {', '.join(missing)}, which would stay random; install the version of "
            "transformers that requirements-encoder.txt pins"
        )
    is_whisper = config.model_type == "whisper"
    preprocessor = WhisperFeatureExtractor if is_whisper else Wav2Vec2FeatureExtractor
    if is_whisper:
        network = network.encoder
    return FrozenEncoder(network.to(setup_torch()), preprocessor.from_json_file(folder / PREPROCESSOR))


def check_files(folder: Path, name: str) -> None:
    """Raise InputError where a file of an encoder is missing in a folder, or is not the published one."""
    for file, expected in PUBLISHED[name].digests.items():
        path = folder / file
        if not path.is_file():
            raise InputError(f"{path} is missing; get it from {_page(name)}")
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != expected:
            raise InputError(f"{path}: its sha256 is {digest}, expected {expected}; get it again from {_page(name)}")


def extract(encoder: FrozenEncoder, paths: Sequence[str], config: AudioConfig, cache: Path) -> np.ndarray:
    """Return the features of audio files, float32 `[files, 1 + layers, width]`.

    Those of each file are kept in the folder `cache` under the sha256 of its samples, so that a run that was stopped
    goes on where it was. Raises InputError where a file is longer than the encoder takes.
    """
    features = []
    for path in progress(paths, f"{cache.name} features", "clip", len(paths)):
        samples = load_audio(path, config)
        if len(samples) > encoder.longest:
            longest = encoder.longest / SAMPLE_RATE
            raise InputError(
                f"{path}: lasts {len(samples) / SAMPLE_RATE:.1f} s; this encoder takes up to {longest:g} s"
            )
        kept = cache / f"{hashlib.sha256(samples.tobytes()).hexdigest()}.safetensors"
        if not kept.exists():
            with replacing(kept) as temporary:
                safetensors.numpy.save_file({"features": encoder.features(samples)}, temporary)
        features.append(safetensors.numpy.load_file(kept)["features"])
    return np.stack(features)


def candidates(layers: Sequence[pd.DataFrame]) -> list[Candidate]:
    """Return a classifier per layer and cost, the strongest regularisation first; emotions weigh the same.

    `layers` have the features `[clips, width]` of each layer, indexed by clip.
    """
    return [
        Candidate(
            f"layer {layer}, C={cost:g}", table, LogisticRegression(C=cost, class_weight="balanced", max_iter=1000)
        )
        for layer, table in enumerate(layers)
        for cost in COSTS
    ]


if __name__ == "__main__":
    stage(main)
