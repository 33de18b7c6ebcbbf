"""Denoising diffusion of images with a U-Net, conditioned on time, an emotion and its embedding.

DDPM (Ho et al. 2020, arXiv 2006.11239) with the cosine schedule (Nichol & Dhariwal 2021, arXiv 2102.09672) and
v-prediction (Salimans & Ho 2022, arXiv 2202.00512). Each noise level is weighted by the inverse of the error that
remains there (Karras et al. 2024, arXiv 2312.02696, section 2.2): the noisiest levels, which min-SNR weights leave out,
decide the emotion, and those in the middle make harmonics. Classifier-free guidance (Ho & Salimans 2022, arXiv
2207.12598), and DPM-Solver++ (Lu et al. 2022, arXiv 2211.01095) to sample.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from ser.core.device import Precision, autocast
from ser.core.errors import InputError
from ser.core.optim import Descent, DescentConfig, Log
from ser.core.params import Config
from ser.core.rng import make_rng
from ser.core.stage import progress

Sampler = Literal["ddpm", "dpm_solver"]
Solver = Any  # a diffusers scheduler
TRAIN_STEPS = 1000  # noise levels in training
LABEL_SCALE = 4.0  # of the one-hot label, next to embeddings of variance 1 in every dimension


class UNetConfig(DescentConfig):
    frames: int = Field(gt=0)
    patch: int = Field(gt=0)
    channels: list[Annotated[int, Field(gt=0, multiple_of=8)]] = Field(min_length=1)
    unconditional: float = Field(ge=0, le=1)

    def check_sizes(self, generator: str, n_mels: int) -> None:
        """Raise InputError where mels do not divide into the U-Net's cells."""
        cell = self.patch * 2 ** (len(self.channels) - 1)
        for key, size in {f"generators.{generator}.fit.frames": self.frames, "mels.n_mels": n_mels}.items():
            if size % cell:
                raise InputError(
                    f"params.yaml: key `{key}` is {size}; the U-Net needs a multiple of {cell} (`patch`, doubled at "
                    "each of its `channels` after the first)"
                )


class UNetSampleConfig(Config):
    count: int = Field(gt=0)
    sampler: Sampler
    steps: int = Field(gt=0, le=TRAIN_STEPS)
    guidance: float = Field(ge=0)
    spread: float = Field(ge=0)


class ConditionalUNet(nn.Module):
    """A compact U-Net (diffusers' UNet2DModel) on `patch` x `patch` cells, attention at its coarsest level."""

    def __init__(self, config: UNetConfig, width: int) -> None:
        super().__init__()
        *fine, _ = channels = config.channels
        self.patch = config.patch
        self.unet = UNet2DModel(
            in_channels=config.patch**2,
            out_channels=config.patch**2,
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

    def forward(self, images: Tensor, time: Tensor, condition: Tensor, conditioned: Tensor) -> Tensor:
        """Predicted v `[batch, 1, height, width]` at `time` [batch].

        `condition` [batch, width] is used where `conditioned` [batch] is true.
        """
        embedded = torch.where(conditioned[:, None], self.condition(condition), self.unconditional)
        cells = F.pixel_unshuffle(images, self.patch).contiguous(memory_format=torch.channels_last)
        with sdpa_kernel(SDPBackend.MATH):  # few tokens: on 2 cores an update takes 13 % less than with fused attention
            return F.pixel_shuffle(self.unet(cells, time, embedded).sample, self.patch)


def build(config: UNetConfig, width: int) -> ConditionalUNet:
    """A U-Net, given conditions of `width` numbers."""
    return ConditionalUNet(config, width).to(memory_format=torch.channels_last)


def sample_embeddings(embeddings: Tensor, count: int, spread: float, rng: torch.Generator) -> Tensor:
    """`count` embeddings `[count, width]` around the centroid of `embeddings` [clips, width].

    They are Gaussian, with `spread` times the standard deviation of the embeddings, and the same correlations.
    """
    centroid = embeddings.mean(0)
    residuals = embeddings - centroid
    weights = torch.randn(count, len(residuals), generator=rng) / len(residuals) ** 0.5
    return centroid + spread * weights @ residuals


def make_condition(embeddings: Tensor, labels: Tensor, n_classes: int) -> Tensor:
    """Conditions `[clips, width + classes]` from embeddings `[clips, width]` and labels [clips]."""
    return torch.cat([embeddings, LABEL_SCALE * F.one_hot(labels, n_classes)], dim=1)


def noise_schedule() -> DDPMScheduler:
    """The cosine schedule that the denoiser is trained with."""
    return DDPMScheduler(
        TRAIN_STEPS, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False
    )


def make_solver(sampler: Sampler, steps: int, start: float = 1.0) -> Solver:
    """The update rule of a way to sample, as a diffusers scheduler that takes `steps` from the noise level `start`.

    Ancestral DDPM, or second-order DPM-Solver++. Its noise levels are even in time, from `start`, a share of all
    levels, down to the last but one. It takes fewer steps where there are fewer levels than that.
    """
    scheduler = {"ddpm": DDPMScheduler, "dpm_solver": DPMSolverMultistepScheduler}[sampler]
    solver = scheduler.from_config(noise_schedule().config)
    levels = torch.linspace(start * TRAIN_STEPS - 1, -1, steps + 1)[:-1]
    solver.set_timesteps(timesteps=levels.round().long().clamp(min=0).unique().flip(0).tolist())
    return solver


def train(
    model: ConditionalUNet,  # on its device
    images: Callable[[Tensor, torch.Generator], Tensor],  # from clip numbers [batch]: [batch, 1, height, width]
    conditions: Tensor,  # [clips, width], the condition of each clip
    config: UNetConfig,
    seed: int,
    log: Log,
) -> dict[str, Tensor]:
    """Train `model` and return the state of its exponential moving average."""
    device = conditions.device
    rng = make_rng(seed)
    descent = Descent(model, config, log)
    noising = noise_schedule()
    weight = 1 - 0.8 * torch.linspace(-1, 1, TRAIN_STEPS).square()  # close to the inverse of the error measured here
    for _ in progress(range(config.updates), "U-Net", "update"):
        clip_index = torch.randint(len(conditions), (config.batch,), generator=rng)
        clean = images(clip_index.to(device), rng)
        noise = torch.randn(clean.shape, generator=rng).to(device)
        time = torch.randint(TRAIN_STEPS, (config.batch,), generator=rng)
        conditioned = torch.rand(config.batch, generator=rng) >= config.unconditional
        noisy = noising.add_noise(clean, noise, time.to(device))
        target = noising.get_velocity(clean, noise, time.to(device))
        with autocast(device, config.precision):
            predicted = model(noisy, time.to(device), conditions[clip_index.to(device)], conditioned.to(device))
        error = (predicted.float() - target).square().mean((1, 2, 3))
        descent.step((weight[time].to(device) * error).mean())
    return descent.averaged().state_dict()


def denoise(
    model: ConditionalUNet,
    images: Tensor,  # [batch, 1, height, width], as noisy as the solver's first level
    condition: Tensor,  # [batch, width]
    solver: Solver,  # from `make_solver`
    guidance: float,  # 0 ignores the condition, 1 is the condition as trained
    precision: Precision,
    rng: torch.Generator,
) -> Tensor:
    """Take the noise away step by step; return clean images."""
    device = images.device
    conditioned = torch.arange(2, device=device).repeat_interleave(len(condition)) == 0
    for time in solver.timesteps:
        with autocast(device, precision):
            v = model(
                images.repeat(2, 1, 1, 1), time.to(device).expand(len(conditioned)), condition.repeat(2, 1), conditioned
            ).float()
        guided, free = v.chunk(2)
        images = solver.step(free + guidance * (guided - free), time, images, generator=rng).prev_sample
    return images
