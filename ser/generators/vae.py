"""A variational autoencoder that is told the emotion (Sohn et al. 2015, Learning Structured Output Representation), its
samples between clips as they are and new ones.

The prior is the Gaussian of the latents of an emotion's training clips. With `spread` s, a sample keeps sqrt(1 - s^2)
of what sets a random training clip apart and draws the rest: 0 is the clip encoded and decoded, 1 is drawn from the
prior alone.
"""

import torch
from pydantic import Field

from ser.core.device import Precision
from ser.core.params import Section
from ser.core.rng import make_rng
from ser.generators import autoencoder


class Fit(Section):
    frames: int = Field(gt=0)
    autoencoder: autoencoder.Autoencoding
    precision: Precision


class Sample(Section):
    count: int = Field(gt=0)
    spread: float = Field(ge=0, le=1)


def fit(
    clips,  # Clips of the training part
    normalise,  # their statistics
    conditions,  # [clips, width], the embedding of each clip; this generator is told its emotion instead
    settings,  # Fit
    seed,
    log,  # called with {"loss": ...} some 50 times
):
    """Train an autoencoder; return its state, and a crop of every clip as latents.

    Raises InputError where the mels do not divide into latents.
    """
    model = autoencoder.train(
        clips, normalise, settings.frames, settings.autoencoder, settings.precision, seed, "vae", log
    )
    which = torch.arange(len(clips), device=clips.start.device)
    mels = normalise(clips.random_crops(which, settings.frames, make_rng(seed)))
    latents = autoencoder.encode(model, mels, clips.emotion, settings.precision)
    return model.state_dict() | {"latents": latents.half(), "emotion": clips.emotion}


@torch.no_grad()
def sample(
    state,  # what `fit` returned
    n_mels,
    emotion,  # number of the emotion
    embeddings,  # [clips, width], of the emotion's training clips, not heeded
    fitted,  # Fit
    settings,  # Sample
    generator,  # CPU torch.Generator
    device,
):
    """Draw normalised mels `[count, 1, n_mels, frames]` of an emotion."""
    state = dict(state)
    latents, emotions = state.pop("latents").float().to(device), state.pop("emotion").to(device)
    model = autoencoder.load(state, fitted.autoencoder, device)
    own = latents[emotions == emotion]
    clips = own[torch.randint(len(own), (settings.count,), generator=generator).to(device)]
    new = autoencoder.prior(latents, emotions, torch.full((settings.count,), emotion, device=device), generator)
    centre = own.mean(0)
    kept = (1 - settings.spread**2) ** 0.5
    mixed = centre + kept * (clips - centre) + settings.spread * (new - centre)
    return autoencoder.draw(model, mixed, emotion, fitted.precision, generator)
