"""Quick fits of all generators, to mel spectrograms that are loud below or above."""

from typing import Any

import torch

from ser.core.optim import LOG_POINTS, Log, ignore
from ser.core.rng import make_rng
from ser.data.clips import Clips, Normaliser
from ser.generators import base
from ser.generators.autoencoder import AutoencoderConfig

N_MELS, FRAMES, N_CLASSES = 8, 8, 2
LOWER, UPPER = 0, 1  # labels: which half of the bands is loud
IDENTITY = Normaliser.blank(N_MELS)


def _toy_clips() -> Clips:
    labels = torch.arange(40) % N_CLASSES
    frames = 0.3 * torch.randn(40, FRAMES, N_MELS, generator=make_rng(0)) - 1
    frames += 2 * ((torch.arange(N_MELS) >= N_MELS // 2) == (labels == UPPER)[:, None])[:, None, :]
    start = FRAMES * torch.arange(40)
    return Clips(frames.flatten(0, 1).half(), start, torch.full((40,), FRAMES), labels)


def embeddings_of(labels: torch.Tensor) -> torch.Tensor:
    """Embeddings `[clips, classes]` that tell the labels [clips]."""
    return torch.nn.functional.one_hot(labels, N_CLASSES).float()


CLIPS = _toy_clips()
EMBEDDINGS = embeddings_of(CLIPS.labels)
AUTOENCODER = AutoencoderConfig(
    patch=2, channels=[8, 16], latents=4, updates=LOG_POINTS, batch=8, learning_rate=0.005, ema=0.9, kl=0.01
)
_DENOISER = {"batch": 8, "learning_rate": 0.002, "ema": 0.9, "unconditional": 0.2, "updates": LOG_POINTS}
# As short as a fit can be; tests/integration has longer ones.
FITS: dict[str, dict[str, Any]] = {
    "diffusion": {"patch": 2, "channels": [8, 32], **_DENOISER},
    "latent_diffusion": {"patch": 1, "channels": [32], **_DENOISER, "autoencoder": AUTOENCODER},
    "vae": {"autoencoder": AUTOENCODER},
    "gan": {
        "channels": 16,
        "updates": LOG_POINTS,
        "batch": 8,
        "generator_rate": 0.001,
        "discriminator_rate": 0.002,
        "ema": 0.9,
        "autoencoder": AUTOENCODER,
    },
}
_SOLVER = {"sampler": "dpm_solver", "steps": 10, "guidance": 1.0, "spread": 1.0}
SAMPLES: dict[str, dict[str, Any]] = {
    "diffusion": _SOLVER,
    "latent_diffusion": _SOLVER,
    "vae": {"spread": 0.6},
    "gan": {},
}


def fit_config(name: str, **change: Any) -> Any:
    """The FitConfig of a generator with `change`."""
    return base.get(name).FitConfig(frames=FRAMES, precision="fp32", **FITS[name]).model_copy(update=change)


def fit(
    name: str,
    clips: Clips = CLIPS,
    normaliser: Normaliser = IDENTITY,
    embeddings: torch.Tensor = EMBEDDINGS,
    seed: int = 0,
    log: Log = ignore,
    **change: Any,
) -> Any:
    """The generator `name`, fitted to the toy clips with `change` to its FitConfig."""
    return base.get(name).fit(clips, normaliser, embeddings, fit_config(name, **change), seed, log)


def sample(
    generator: base.Generator,
    label: int = LOWER,
    embeddings: torch.Tensor | None = None,  # one per sample; those of `label` by default
    seed: int = 0,
    **change: Any,
) -> torch.Tensor:
    """Samples of a generator, 12 by default, with `change` to its SampleConfig."""
    if embeddings is None:
        embeddings = embeddings_of(torch.full((12,), label))
    name = type(generator).__module__.rpartition(".")[2]
    config = generator.SampleConfig(**{"count": len(embeddings)} | SAMPLES[name] | change)
    return generator.sample(label, embeddings, config, make_rng(seed))


def loudness_difference(mels: torch.Tensor) -> float:
    """How much louder the upper half of the bands is, on average; +2 or -2 in the clips."""
    return float(mels[:, :, N_MELS // 2 :].mean() - mels[:, :, : N_MELS // 2].mean())
