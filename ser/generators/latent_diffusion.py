"""Denoising diffusion in the latent space of an autoencoder (Rombach et al. 2022, arXiv 2112.10752)."""

import torch
from torch import nn

from ser.core.rng import make_rng
from ser.generators import autoencoder, denoiser
from ser.generators.denoiser import Sample  # noqa: F401, settings of this generator


class Fit(denoiser.Fit):
    autoencoder: autoencoder.Autoencoding


class Model(nn.Module):
    """An Autoencoder, a Denoiser of its latents and their statistics, a number a channel."""

    def __init__(self, settings, width, encoder):
        super().__init__()
        latents = settings.autoencoder.latents
        self.autoencoder = encoder
        self.denoiser = denoiser.build(settings, width + encoder.emotions, latents)
        self.register_buffer("latent_mean", torch.zeros(latents, 1, 1))
        self.register_buffer("latent_std", torch.ones(latents, 1, 1))


def fit(
    clips,  # Clips of the training part
    normalise,  # their statistics
    conditions,  # [clips, width], the embedding of each clip
    settings,  # Fit
    seed,
    log,  # called with {"loss": ...} some 50 times, by the denoiser
):
    """Train an autoencoder, then a denoiser of its latents; return the state of both.

    Raises InputError where the mels do not divide into latents, or those into the U-Net's cells.
    """
    settings.refuse_sizes("latent_diffusion", len(normalise.mean), settings.autoencoder.factor)
    device = clips.start.device
    encoder = autoencoder.train(
        clips,
        normalise,
        settings.frames,
        settings.autoencoder,
        settings.precision,
        seed,
        "latent_diffusion",
        log=lambda figures: None,
    )

    def latents(which, generator):
        mels = normalise(clips.random_crops(which, settings.frames, generator))
        return autoencoder.encode(encoder, mels, clips.emotion[which], settings.precision)

    every = latents(torch.arange(len(clips), device=device), make_rng(seed))
    torch.manual_seed(seed)
    model = Model(settings, conditions.shape[1], encoder).to(device)
    model.latent_mean[:] = every.mean((0, 2, 3))[:, None, None]
    model.latent_std[:] = every.std((0, 2, 3))[:, None, None]

    def images(which, generator):
        return (latents(which, generator) - model.latent_mean) / model.latent_std

    told = denoiser.told(conditions.to(device), clips.emotion, encoder.emotions)
    averaged = denoiser.train(model.denoiser, images, told, settings, seed, log)
    model.denoiser.load_state_dict(averaged)
    return model.state_dict()


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
    batch=128,
):
    """Draw normalised mels `[count, 1, n_mels, frames]`, each for an embedding near the emotion's."""
    encoder = autoencoder.build(fitted.autoencoder, autoencoder.emotions(state, "autoencoder."))
    model = Model(fitted, embeddings.shape[1], encoder).to(device)
    model.load_state_dict(state)
    model.eval()
    side = fitted.autoencoder.factor
    size = fitted.autoencoder.latents, n_mels // side, fitted.frames // side
    varied = denoiser.vary(embeddings, settings.count, settings.spread, generator)
    told = denoiser.told(varied, torch.full((settings.count,), emotion), encoder.emotions).to(device)
    drawn = []
    for condition in told.split(batch):
        solver = denoiser.sampler(settings.sampler, settings.steps)
        noise = torch.randn((len(condition), *size), generator=generator).to(device)
        images = denoiser.denoise(
            model.denoiser, noise, condition, solver, solver.timesteps, settings.guidance, fitted.precision, generator
        )
        latents = images * model.latent_std + model.latent_mean
        drawn.append(autoencoder.draw(encoder, latents, emotion, fitted.precision, generator))
    return torch.cat(drawn)
