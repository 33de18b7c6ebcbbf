"""Rectified flow over sequences of tokens with a transformer: what `diffusion` and `latent_diffusion` share.

Clean tokens (time 0) and noise (time 1) are joined by straight lines, whose direction is learnt (Liu et al. 2023, arXiv
2209.03003); most times are drawn from a logit-normal distribution (Esser et al. 2024, arXiv 2403.03206). The network
predicts clean tokens, and the direction follows: speech fills a small part of the space of its patches and noise all of
it, which a narrow network cannot carry (Li & He 2025, Back to Basics: Let Denoising Generative Models Denoise, arXiv
2511.13720). It also learns which share of a noisy token to keep at a level of noise, number by number: where there is
little noise, the token has more detail than what is predicted, and clips were blurred. The network is a transformer
whose blocks are scaled and shifted by time and conditions (adaLN-zero, Peebles & Xie 2023, arXiv 2212.09748). Tokens
are embedded and read out together with their neighbours, and blocks see a part of these (temporal shift, Lin et al.
2019, arXiv 1811.08383): without, clips had steps where tokens meet. Conditions are dropped one by one, for
classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598), and paths are followed by Heun's method (Karras et al.
2022, arXiv 2206.00364).
"""

import math
from itertools import pairwise

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from ser.core.device import Precision, autocast
from ser.core.optim import Descent, DescentConfig, Log
from ser.core.params import Config
from ser.core.rng import make_rng
from ser.core.stage import progress
from ser.generators import conditions
from ser.generators.sequences import FRAMES, Sequences, inside

MEAN_LOGIT = 1.0  # of times in training: noisy ones, which decide what is said and how, are the harder ones
EVEN = 0.3  # share of the times that are drawn evenly instead, as clean ones decide how sharp a clip is
LEAST_TIME = 0.05  # by which the error of the clean tokens is divided at least, to become that of the direction


class FlowConfig(DescentConfig):
    frames: int = Field(gt=0, multiple_of=FRAMES)
    width: int = Field(gt=0, multiple_of=8)
    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    copies: int = Field(gt=0)
    stretch: float = Field(ge=0, lt=1)
    unconditional: float = Field(ge=0, lt=1)

    @field_validator("heads")
    @classmethod
    def _equal_heads(cls, heads: int, info: ValidationInfo) -> int:
        if info.data.get("width", heads) % heads:
            raise ValueError("must divide `width`")
        return heads


class FlowSampleConfig(Config):
    count: int = Field(gt=0)
    steps: int = Field(gt=0)
    guidance: float = Field(ge=0)


class Attention(nn.Module):
    """Self-attention and a hidden layer, each after a normalisation whose scale, offset and gate follow a vector."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.attention_in, self.attention_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.hidden = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )
        self.modulation = _zero(nn.Linear(width, 6 * width))

    def forward(self, tokens: Tensor, vector: Tensor, inside: Tensor) -> Tensor:
        batch, length, width = tokens.shape
        scale, offset, gate, scale2, offset2, gate2 = self.modulation(vector)[:, None].chunk(6, dim=2)
        normed = self.norms[0](tokens) * (1 + scale) + offset
        query, key, value = self.attention_in(normed).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        with sdpa_kernel(SDPBackend.MATH):  # few tokens: faster on CPUs than fused attention, above all backwards
            attended = F.scaled_dot_product_attention(query, key, value, inside[:, None, None])
        tokens = tokens + gate * self.attention_out(attended.transpose(1, 2).reshape(batch, length, width))
        normed = self.norms[1](tokens) * (1 + scale2) + offset2
        return tokens + gate2 * self.hidden(_shifted(normed * inside[:, :, None]))


class Flow(nn.Module):
    """The direction from clean tokens to noise, for every token."""

    def __init__(self, config: FlowConfig, token_width: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        width = config.width
        self.width = width
        self.tokens_in = nn.Linear(3 * token_width, width)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.conditions = conditions.Embedding(sizes, width)
        self.blocks = nn.ModuleList(Attention(width, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = _zero(nn.Linear(width, 2 * width))
        self.tokens_out = _zero(nn.Linear(3 * width, token_width))
        self.kept = _zero(nn.Linear(width, token_width))

    def forward(
        self,
        tokens: Tensor,  # [batch, longest, token width]
        time: Tensor,  # [batch], 0 clean to 1 noise
        length: Tensor,  # [batch], in tokens
        codes: Tensor,  # [batch, FACTORS]
        numbers: Tensor,  # [batch, NUMBERS]
    ) -> Tensor:
        """The predicted direction `[batch, longest, token width]`; what is beyond the end of a clip is meaningless."""
        position = torch.arange(tokens.shape[1], device=tokens.device)
        to_end = (length[:, None] - position).clamp(min=0)
        own = inside(length, len(position))
        hidden = self.tokens_in(_with_neighbours(tokens * own[:, :, None]))
        hidden = hidden + waves(position.float(), self.width) + waves(to_end + 0.5, self.width)
        vector = F.silu(self.time(waves(1000 * time, self.width)) + self.conditions(codes, numbers))
        for block in self.blocks:
            hidden = block(hidden, vector, own)
        scale, offset = self.modulation(vector)[:, None].chunk(2, dim=2)
        hidden = self.norm(hidden) * (1 + scale) + offset
        clean = self.tokens_out(_with_neighbours(hidden * own[:, :, None])).float()
        removed = (1 - self.kept(vector).float()[:, None]) * (tokens - clean)
        return removed / time.clamp(min=LEAST_TIME)[:, None, None]


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _with_neighbours(tokens: Tensor) -> Tensor:
    """Tokens `[batch, length, width]`, each between the one before and the one after it, `[batch, length, 3 width]`."""
    return torch.cat([_moved(tokens, 1), tokens, _moved(tokens, -1)], dim=2)


def _shifted(tokens: Tensor) -> Tensor:
    """Tokens of which a quarter of the numbers are those of the one before, and a quarter those of the one after."""
    quarter = tokens.shape[2] // 4
    before, after, own = tokens.split([quarter, quarter, tokens.shape[2] - 2 * quarter], dim=2)
    return torch.cat([_moved(before, 1), _moved(after, -1), own], dim=2)


def _moved(tokens: Tensor, places: int) -> Tensor:
    """Tokens `[batch, length, width]` at later places; zero where none came before."""
    return F.pad(tokens, (0, 0, places, -places))


def waves(places: Tensor, width: int) -> Tensor:
    """Sines and cosines of `places` [...] at wavelengths from 2 pi to 20,000 pi, `[..., width]`."""
    frequency = torch.exp(torch.arange(width // 2, device=places.device) * (-2 * math.log(10_000) / width))
    angle = places[..., None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def draw_times(count: int, rng: torch.Generator) -> Tensor:
    """Times of training, `[count]`."""
    times = torch.sigmoid(MEAN_LOGIT + torch.randn(count, generator=rng))
    even = torch.rand(count, generator=rng)
    return torch.where(torch.rand(count, generator=rng) < EVEN, even, times)


def train(
    model: Flow,  # on its device
    sequences: Sequences,
    factors: Tensor,  # [clips, FACTORS]
    config: FlowConfig,
    seed: int,
    log: Log,
) -> dict[str, Tensor]:
    """Train `model` and return the state of its exponential moving average."""
    device, rng = factors.device, make_rng(seed)
    descent = Descent(model, config, log)
    batches = sequences.batches(config.batch, rng)
    for _ in progress(range(config.updates), "flow", "update"):
        index = next(batches)
        clean, length = sequences.padded(index)
        codes = conditions.dropped(factors[sequences.clip_index[index]], config.unconditional, rng)
        noise = torch.randn(clean.shape, generator=rng).to(device)
        time = draw_times(len(clean), rng).to(device)
        noisy = clean + time[:, None, None] * (noise - clean)
        with autocast(device, config.precision):
            predicted = model(noisy, time, length, codes, sequences.numbers[index])
        error = (predicted.float() - (noise - clean)).square().mean(2)
        descent.step(error[inside(length, clean.shape[1])].mean())
    return descent.averaged().state_dict()


def follow(
    model: Flow,
    tokens: Tensor,  # [batch, longest, token width], as noisy as `start` says
    length: Tensor,  # [batch], in tokens
    codes: Tensor,  # [batch, FACTORS]
    numbers: Tensor,  # [batch, NUMBERS]
    steps: int,
    guidance: float,  # towards emotion and intensity: 0 ignores them, 1 follows them as trained
    precision: Precision,
    start: float = 1.0,  # time of `tokens`
) -> Tensor:
    """Clean tokens: the way from `start` to time 0, in equal steps of Heun's method."""
    free = conditions.without_emotion(codes)

    def direction(tokens: Tensor, time: float) -> Tensor:
        times = torch.full((len(tokens),), time, device=tokens.device)
        with autocast(tokens.device, precision):
            if guidance == 1:
                return model(tokens, times, length, codes, numbers).float()
            twice = (value.repeat(2, *[1] * (value.dim() - 1)) for value in (tokens, times, length))
            both = model(*twice, torch.cat([codes, free]), numbers.repeat(2, 1)).float()
        guided, unguided = both.chunk(2)
        return unguided + guidance * (guided - unguided)

    times = torch.linspace(start, 0, steps + 1).tolist()
    for time, after in pairwise(times):
        slope = direction(tokens, time)
        moved = tokens + (after - time) * slope
        if after:
            slope = (slope + direction(moved, after)) / 2
        tokens = tokens + (after - time) * slope
    return tokens
