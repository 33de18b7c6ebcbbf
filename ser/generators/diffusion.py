"""Denoising diffusion over mel spectrograms, conditioned on emotion embeddings (Kim & Lee 2024, section 3) and on the
emotion itself."""

import torch

from ser.core.errors import InputError
from ser.generators import denoiser
from ser.generators.denoiser import Fit, Sample  # noqa: F401, settings of this generator


def fit(
    clips,  # Clips of the training part
    normalise,  # their statistics
    conditions,  # [clips, width], the embedding of each clip
    settings,  # Fit
    seed,
    log,  # called with {"loss": ...} some 50 times
):
    """Train a denoiser and return the state of its exponential moving average.

    Raises InputError where the mels do not divide into the U-Net's cells.
    """
    settings.refuse_sizes("diffusion", len(normalise.mean))
    device = clips.start.device
    torch.manual_seed(seed)
    told = denoiser.told(conditions.to(device), clips.emotion, int(clips.emotion.max()) + 1)
    model = denoiser.build(settings, told.shape[1]).to(device)

    def mels(which, generator):
        return normalise(clips.random_crops(which, settings.frames, generator))

    return denoiser.train(model, mels, told, settings, seed, log)


@torch.inference_mode()
def sample(
    state,  # what `fit` returned
    n_mels,
    emotion,  # number of the emotion
    embeddings,  # [clips, width], of the emotion's training clips
    fitted,  # Fit
    settings,  # Sample
    generator,  # CPU torch.Generator
    device,
    batch=64,
):
    """Draw normalised mels `[count, 1, n_mels, frames]`, each for an embedding near the emotion's."""
    model = load(state, fitted, device)
    varied = denoiser.vary(embeddings, settings.count, settings.spread, generator)
    told = _told(state, varied, torch.full((settings.count,), emotion)).to(device)
    drawn = []
    for condition in told.split(batch):
        solver = denoiser.sampler(settings.sampler, settings.steps)
        noise = torch.randn((len(condition), 1, n_mels, fitted.frames), generator=generator).to(device)
        mels = denoiser.denoise(
            model, noise, condition, solver, solver.timesteps, settings.guidance, fitted.precision, generator
        )
        drawn.append(mels.cpu())
    return torch.cat(drawn)


@torch.inference_mode()
def enhance(
    state,  # what `fit` returned
    mels,  # normalised, [clips, 1, n_mels, frames]
    emotion,  # numbers of the emotions [clips], or None to heed none
    conditions,  # [clips, width], or None as well
    fitted,  # Fit
    settings,  # Enhancement
    generator,  # CPU torch.Generator
    device,
    batch=64,
):
    """Noise mels to `strength`, a share of the way to pure noise, and denoise them under conditions: the "enhancement"
    of Kim & Lee 2024, known for pictures as SDEdit (Meng et al. 2022, arXiv 2108.01073).

    Raises InputError where no step of the sampler is that near to the clean mels.
    """
    if conditions is None:
        told, guidance = torch.zeros(len(mels), state["condition.weight"].shape[1]), 0.0
    else:
        told, guidance = _told(state, conditions, emotion), settings.guidance
    model = load(state, fitted, device)
    enhanced = []
    for part, condition in zip(mels.to(device).split(batch), told.to(device).split(batch)):
        solver = denoiser.sampler(settings.sampler, settings.steps)
        times = solver.timesteps[solver.timesteps <= 1000 * settings.strength]
        if not len(times):
            raise InputError(
                f"params.yaml: key `enhancement.steps` is {settings.steps}: none of these steps is within "
                f"`enhancement.strength`, {settings.strength}; raise either"
            )
        noise = torch.randn(part.shape, generator=generator).to(device)
        noisy = denoiser.schedule().add_noise(part, noise, times[:1].to(device))
        clean = denoiser.denoise(model, noisy, condition, solver, times, guidance, fitted.precision, generator)
        enhanced.append(clean.cpu())
    return torch.cat(enhanced)


def load(state, fitted, device):
    """The denoiser that `fit` trained."""
    model = denoiser.build(fitted, state["condition.weight"].shape[1]).to(device)
    model.load_state_dict(state)
    return model.eval()


def _told(state, conditions, emotion):
    return denoiser.told(conditions, emotion, state["condition.weight"].shape[1] - conditions.shape[1])
