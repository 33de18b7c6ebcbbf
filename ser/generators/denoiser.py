"""Denoising diffusion, conditioned on time, an emotion and its embedding: what the generators that use it share.

DDPM (Ho et al. 2020, arXiv 2006.11239) with the cosine schedule (Nichol & Dhariwal 2021, arXiv 2102.09672),
v-prediction (Salimans & Ho 2022, arXiv 2202.00512), each step weighted by the inverse of the error that is left there
(Karras et al. 2024, arXiv 2312.02696, section 2.2): the noisiest, which min-SNR weights leave out, decide the emotion;
those in the middle make harmonics. Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598), and DPM-Solver++
(Lu et al. 2022, arXiv 2211.01095) to sample.
"""

from typing import Annotated, Literal

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from pydantic import Field
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ser.core import ranks
from ser.core.device import Precision, autocast
from ser.core.errors import InputError
from ser.core.optim import LOG_POINTS, log_means, warmup_cosine
from ser.core.params import Section
from ser.core.rng import make_rng
from ser.core.stage import progress

Sampler = Literal["ddpm", "ddim", "dpm_solver"]
LABEL = 4.0  # of the emotion's number as one-hot code, beside embeddings of variance 1 in every dimension


class Fit(Section):
    frames: int = Field(gt=0)
    patch: int = Field(gt=0)
    channels: list[Annotated[int, Field(gt=0, multiple_of=8)]] = Field(min_length=1)
    updates: int = Field(ge=LOG_POINTS)
    batch: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    ema: float = Field(ge=0, lt=1)
    unconditional: float = Field(ge=0, le=1)
    precision: Precision

    def refuse_sizes(self, name, n_mels, factor=1):
        """Raise InputError where mels do not divide into the U-Net's cells, each `factor` mel cells wide and high."""
        cell = factor * self.patch * 2 ** (len(self.channels) - 1)
        for key, size in {f"generators.{name}.fit.frames": self.frames, "mels.n_mels": n_mels}.items():
            if size % cell:
                raise InputError(
                    f"params.yaml: key `{key}` is {size}; the U-Net needs a multiple of {cell} (`patch`, doubled at "
                    "each of its `channels` after the first)"
                )


class Sample(Section):
    count: int = Field(gt=0)
    sampler: Sampler
    steps: int = Field(gt=0, le=1000)
    guidance: float = Field(ge=0)
    spread: float = Field(ge=0)


class Enhancement(Section):
    strength: float = Field(gt=0, le=1)
    sampler: Sampler
    steps: int = Field(gt=0, le=1000)
    guidance: float = Field(ge=0)


class Denoiser(nn.Module):
    """A compact U-Net (diffusers' UNet2DModel) on `patch` x `patch` cells, attention at its coarsest level."""

    def __init__(self, settings, width, depth):
        super().__init__()
        *fine, _ = channels = settings.channels
        self.patch = settings.patch
        self.unet = UNet2DModel(
            in_channels=depth * settings.patch**2,
            out_channels=depth * settings.patch**2,
            layers_per_block=1,
            block_out_channels=channels,
            down_block_types=["DownBlock2D"] * len(fine) + ["AttnDownBlock2D"],
            up_block_types=["AttnUpBlock2D"] + ["UpBlock2D"] * len(fine),
            norm_num_groups=8,
            attention_head_dim=32,
            class_embed_type="identity",
        )
        self.condition = nn.Linear(width, 4 * channels[0])
        self.unconditional = nn.Parameter(torch.zeros(4 * channels[0]))

    def forward(self, images, time, condition, conditioned):
        """Predicted v `[batch, depth, height, width]` at `time` [batch]; `condition` [batch, width] is heeded where
        `conditioned` [batch] is true."""
        embedded = torch.where(conditioned[:, None], self.condition(condition), self.unconditional)
        cells = F.pixel_unshuffle(images, self.patch).contiguous(memory_format=torch.channels_last)
        with sdpa_kernel(SDPBackend.MATH):  # few tokens: on 2 cores an update takes 13 % less than with fused attention
            return F.pixel_shuffle(self.unet(cells, time, embedded).sample, self.patch)


def build(settings, width, depth=1):
    """A Denoiser of images with `depth` channels, given conditions of `width` numbers."""
    return Denoiser(settings, width, depth).to(memory_format=torch.channels_last)


def vary(embeddings, count, spread, generator):
    """`count` embeddings `[count, width]` around the centroid of an emotion: Gaussian with `spread` times the standard
    deviation, and the same correlations, as the `embeddings` [clips, width] of its training clips have."""
    centroid = embeddings.mean(0)
    residuals = embeddings - centroid
    weights = torch.randn(count, len(residuals), generator=generator) / len(residuals) ** 0.5
    return centroid + spread * weights @ residuals


def told(embeddings, emotion, emotions):
    """Conditions [clips, width + emotions]: embeddings [clips, width], and the number [clips] of each's emotion."""
    return torch.cat([embeddings, LABEL * F.one_hot(emotion, emotions)], dim=1)


def schedule():
    return DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False)


def sampler(name, steps):
    """The noise levels and the update rule of a way to sample, as a diffusers scheduler: ancestral DDPM, DDIM (Song et
    al. 2021, arXiv 2010.02502), or second-order DPM-Solver++ with steps even in log-SNR, so that few of them suffice.
    """
    scheduler, options = {
        "ddpm": (DDPMScheduler, {"timestep_spacing": "trailing"}),
        "ddim": (DDIMScheduler, {"timestep_spacing": "trailing"}),
        "dpm_solver": (DPMSolverMultistepScheduler, {"use_lu_lambdas": True}),
    }[name]
    solver = scheduler.from_config(schedule().config, **options)
    solver.set_timesteps(steps)
    return solver


def train(
    model,  # Denoiser, on its device
    images,  # called with numbers of clips [batch] and a CPU generator: images [batch, depth, height, width]
    conditions,  # [clips, width], the condition of each clip
    settings,  # Fit
    seed,
    log,  # called with {"loss": ...} some 50 times
):
    """Train `model` and return the state of its exponential moving average."""
    device = conditions.device
    generator = make_rng(seed)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.ema))
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate, fused=True)
    rate = warmup_cosine(optimiser, settings.updates)
    net, optimiser, part = ranks.data_parallel(model, optimiser, settings.batch)
    noise_schedule = schedule()
    weight = 1 - 0.8 * torch.linspace(-1, 1, 1000).square()  # close to what is left where this one was measured
    record = log_means(log, settings.updates)
    for _ in progress(range(settings.updates), "denoiser", "update"):
        which = torch.randint(len(conditions), (settings.batch,), generator=generator)
        clean = images(which.to(device), generator)[part]
        noise = torch.randn((settings.batch, *clean.shape[1:]), generator=generator)[part].to(device)
        time = torch.randint(1000, (settings.batch,), generator=generator)[part]
        conditioned = torch.rand(settings.batch, generator=generator)[part] >= settings.unconditional
        noisy = noise_schedule.add_noise(clean, noise, time.to(device))
        target = noise_schedule.get_velocity(clean, noise, time.to(device))
        with autocast(device, settings.precision):
            predicted = net(noisy, time.to(device), conditions[which[part].to(device)], conditioned.to(device))
        error = (predicted.float() - target).square().mean((1, 2, 3))
        loss = (weight[time].to(device) * error).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
        average.update_parameters(model)
        record({"loss": loss})
    return average.module.state_dict()


def denoise(
    model,  # Denoiser
    images,  # [batch, depth, height, width], as noisy as the first of `times`
    condition,  # [batch, width]
    solver,  # what `sampler` returned
    times,  # those of its `timesteps` that remain
    guidance,  # 0 heeds no condition, 1 is the condition as trained
    precision,
    generator,  # CPU torch.Generator
):
    """Take the noise away step by step; return clean images."""
    device = images.device
    both = torch.arange(2, device=device).repeat_interleave(len(condition)) == 0
    for time in times:
        with autocast(device, precision):
            v = model(
                images.repeat(2, 1, 1, 1), time.to(device).expand(len(both)), condition.repeat(2, 1), both
            ).float()
        guided, free = v.chunk(2)
        images = solver.step(free + guidance * (guided - free), time, images, generator=generator).prev_sample
    return images
