"""Quick fits of all generators, to mel spectrograms that are loud below or above."""

from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ser.core.optim import LOG_POINTS, Log, ignore
from ser.core.rng import make_rng
from ser.data.clips import Clips, Normaliser
from ser.generators import autoencoder, base
from ser.generators.autoencoder import Autoencoder, AutoencoderConfig
from ser.generators.base import TrainingPart

N_MELS, N_CLASSES, COUNT = 8, 2, 40
LONGEST = 24  # frames that sequences may have; some clips are longer
FRAMES = 8  # of an image
LOWER, UPPER = 0, 1  # labels: which half of the bands is loud
NORMALISER = Normaliser(torch.full((N_MELS,), -40.0), torch.full((N_MELS,), 10.0))  # silence is -4


def _toy_clips() -> Clips:
    """Clips of 9 to 27 frames: white noise of deviation 0.3 (normalised), half of the bands louder by 2."""
    rng = make_rng(0)
    labels = torch.arange(COUNT) % N_CLASSES
    length = torch.randint(9, 28, (COUNT,), generator=rng)
    of_frames = labels.repeat_interleave(length)[:, None]
    frames = 0.3 * torch.randn(len(of_frames), N_MELS, generator=rng) - 1
    frames += 2 * ((torch.arange(N_MELS) >= N_MELS // 2) == (of_frames == UPPER))
    return Clips((10 * frames - 40).half(), length.cumsum(0) - length, length, labels)


def embeddings_of(labels: Tensor) -> Tensor:
    """Embeddings `[clips, classes]` that tell the labels [clips]."""
    return torch.nn.functional.one_hot(labels, N_CLASSES).float()


def _factors(labels: Tensor) -> Tensor:
    """Two intensities, four speakers in two corpora, three sentences."""
    clip = torch.arange(COUNT)
    speaker = 1 + clip // 2 % 4
    return torch.stack([1 + labels, 1 + clip // 8 % 2, speaker, 1 + (speaker > 2), 1 + clip // 16], dim=1)


CLIPS = _toy_clips()
FACTORS = _factors(CLIPS.labels)
EMBEDDINGS = embeddings_of(CLIPS.labels)
AUTOENCODER = AutoencoderConfig(
    frames=16,
    channels=16,
    latents=6,
    stretch=0.1,
    updates=100,
    batch=8,
    learning_rate=0.005,
    ema=0.9,
    kl=0.0002,
    precision="fp32",
)
_FLOW = {
    "frames": LONGEST,
    "width": 32,
    "layers": 2,
    "heads": 2,
    "copies": 3,
    "stretch": 0.1,
    "updates": LOG_POINTS,
    "batch": 16,
    "learning_rate": 0.003,
    "ema": 0.9,
    "unconditional": 0.15,
}
# As short as a fit can be; tests/integration has longer ones.
FITS: dict[str, dict[str, Any]] = {
    "diffusion": _FLOW,
    "latent_diffusion": _FLOW,
    "vae": {"frames": LONGEST},
    "gan": {
        "frames": LONGEST,
        "channels": 16,
        "nearest": 0.3,
        "farthest": 0.7,
        "copies": 2,
        "stretch": 0.1,
        "updates": LOG_POINTS,
        "batch": 8,
        "generator_rate": 0.001,
        "discriminator_rate": 0.002,
        "ema": 0.9,
    },
    "unet_diffusion": {
        "frames": FRAMES,
        "patch": 2,
        "channels": [8, 32],
        "updates": LOG_POINTS,
        "batch": 8,
        "learning_rate": 0.002,
        "ema": 0.9,
        "unconditional": 0.2,
    },
}
SAMPLES: dict[str, dict[str, Any]] = {
    "diffusion": {"steps": 4, "guidance": 1.0},
    "latent_diffusion": {"steps": 4, "guidance": 1.0},
    "vae": {"nearest": 0.3, "farthest": 0.7},
    "gan": {},
    "unet_diffusion": {"sampler": "dpm_solver", "steps": 10, "guidance": 1.0, "spread": 1.0},
}


@cache
def fitted_autoencoder(updates: int = AUTOENCODER.updates, latents: int = AUTOENCODER.latents) -> Autoencoder:
    """An autoencoder of the toy clips; the same one for every caller."""
    config = AUTOENCODER.model_copy(update={"updates": updates, "latents": latents})
    return autoencoder.fit(CLIPS, config, 0, ignore)


def part(**change: Any) -> TrainingPart:
    """The toy clips as what a generator is fitted to, with `change`."""
    return replace(TrainingPart(CLIPS, NORMALISER, FACTORS, EMBEDDINGS, fitted_autoencoder()), **change)


def fit_config(name: str, **change: Any) -> Any:
    """The FitConfig of a generator with `change`."""
    return base.get(name).FitConfig(precision="fp32", **FITS[name]).model_copy(update=change)


def fit(
    name: str, training_part: TrainingPart | None = None, seed: int = 0, log: Log = ignore, **change: Any
) -> base.Generator:
    """The generator `name`, fitted to the toy clips with `change` to its FitConfig."""
    return base.get(name).fit(training_part or part(), fit_config(name, **change), seed, log)


def sample(
    generator: base.Generator,
    label: int = LOWER,
    embeddings: Tensor | None = None,  # one per sample; those of `label` by default
    seed: int = 0,
    batch: int | None = None,
    **change: Any,
) -> list[Tensor]:
    """Samples of a generator, 12 by default, with `change` to its SampleConfig."""
    if embeddings is None:
        embeddings = embeddings_of(torch.full((12,), label))
    name = type(generator).__module__.rpartition(".")[2]
    config = generator.SampleConfig(**{"count": len(embeddings)} | SAMPLES[name] | change)
    batches = {} if batch is None else {"batch": batch}
    return generator.sample(label, embeddings, config, make_rng(seed), **batches)


def bytes_of(mels: list[Tensor]) -> list[bytes]:
    return [mel.numpy().tobytes() for mel in mels]


def toy_mels(label: int, count: int = 12, longest: int = LONGEST) -> list[Tensor]:
    """Normalised mels of toy clips of a class, of at most `longest` frames."""
    clips = CLIPS.subset(torch.nonzero(CLIPS.labels == label)[:count, 0])
    _, mels = clips.pieces(100)
    return [NORMALISER(mel[:, :longest]) for mel in mels]


def loudness_difference(mels: list[Tensor]) -> float:
    """How much louder the upper half of the bands is, on average; +2 or -2 in the clips."""
    bands = torch.stack([mel.mean(1) for mel in mels]).mean(0)
    return float(bands[N_MELS // 2 :].mean() - bands[: N_MELS // 2].mean())
