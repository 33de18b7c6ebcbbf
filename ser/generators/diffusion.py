"""Denoising diffusion over mel spectrograms, conditioned on emotion embeddings (Kim & Lee 2024, section 3)."""

import torch

from ser import denoising
from ser.denoising import Fit, Sample  # noqa: F401, settings of this generator
from ser.errors import InputError


def fit(
    clips,       # Clips of the training part
    normalise,   # their statistics
    conditions,  # [clips, width], the embedding of each clip
    settings,    # Fit
    seed,
    log,         # called with {"loss": ...} some 50 times
):
    """Train a denoiser and return the state of its exponential moving average.

    Raises InputError where the mels do not divide into the U-Net's cells.
    """
    settings.refuse_sizes("diffusion", len(normalise.mean))
    device = clips.start.device
    torch.manual_seed(seed)
    model = denoising.build(settings, conditions.shape[1]).to(device)

    def mels(which, generator):
        return normalise(clips.random_crops(which, settings.frames, generator))

    return denoising.train(model, mels, conditions.to(device), settings, seed, log, "diffusion")


@torch.inference_mode()
def sample(
    state,       # what `fit` returned
    n_mels,
    emotion,     # number of the emotion, which the conditions say already
    conditions,  # [count, width]
    fitted,      # Fit
    settings,    # Sample
    generator,   # CPU torch.Generator
    device,
    batch=64,
):
    """Draw normalised mels `[count, 1, n_mels, frames]`, one a condition."""
    model = load(state, conditions.shape[1], fitted, device)
    drawn = []
    for condition in conditions.to(device).split(batch):
        solver = denoising.sampler(settings.sampler, settings.steps)
        noise = torch.randn((len(condition), 1, n_mels, fitted.frames), generator=generator).to(device)
        mels = denoising.denoise(
            model, noise, condition, solver, solver.timesteps, settings.guidance, fitted.precision, generator
        )
        drawn.append(mels.cpu())
    return torch.cat(drawn)


@torch.inference_mode()
def enhance(
    state,       # what `fit` returned
    mels,        # normalised, [clips, 1, n_mels, frames]
    conditions,  # [clips, width], or None to heed none
    fitted,      # Fit
    settings,    # Enhancement
    generator,   # CPU torch.Generator
    device,
    batch=64,
):
    """Noise mels to `strength`, a share of the way to pure noise, and denoise them under conditions: the "enhancement"
    of Kim & Lee 2024, known for pictures as SDEdit (Meng et al. 2022, arXiv 2108.01073).

    Raises InputError where no step of the sampler is that near to the clean mels.
    """
    guidance = settings.guidance
    if conditions is None:
        conditions, guidance = torch.zeros(len(mels), state["condition.weight"].shape[1]), 0.0
    model = load(state, conditions.shape[1], fitted, device)
    enhanced = []
    for part, condition in zip(mels.to(device).split(batch), conditions.to(device).split(batch)):
        solver = denoising.sampler(settings.sampler, settings.steps)
        times = solver.timesteps[solver.timesteps <= 1000 * settings.strength]
        if not len(times):
            raise InputError(
                f"params.yaml: key `enhancement.steps` is {settings.steps}: none of these steps is within "
                f"`enhancement.strength`, {settings.strength}; raise either"
            )
        noise = torch.randn(part.shape, generator=generator).to(device)
        noisy = denoising.schedule().add_noise(part, noise, times[:1].to(device))
        clean = denoising.denoise(model, noisy, condition, solver, times, guidance, fitted.precision, generator)
        enhanced.append(clean.cpu())
    return torch.cat(enhanced)


def load(state, width, fitted, device):
    """The denoiser that `fit` trained for conditions of `width` numbers."""
    model = denoising.build(fitted, width).to(device)
    model.load_state_dict(state)
    return model.eval()
