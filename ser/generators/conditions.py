"""What a generator is conditioned on: factors (ser/data/factors.py), length and stretch of a clip."""

import torch
from torch import Tensor, nn

from ser.data.factors import FACTORS, UNKNOWN

EMOTION, INTENSITY, SPEAKER, CORPUS, TEXT = range(len(FACTORS))
LENGTH_SPREAD = 0.05  # by which a new clip is longer or shorter than a real one, a standard deviation of its logarithm
MEAN_LOG_LENGTH, LOG_LENGTH_STD = 4.6, 0.4  # of clips, roughly: scales the length
NUMBERS = 3  # length, and the two stretches


class Conditions(nn.Module):
    """Those of the training clips, from which new ones are drawn. It is a part of a generator's state."""

    codes: Tensor  # int64 [clips, FACTORS]
    length: Tensor  # int64 [clips], frames

    def __init__(self, codes: Tensor, length: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes)
        self.register_buffer("length", length)

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> "Conditions":
        """The conditions of a generator whose state dict is `state`."""
        return cls(state["conditions.codes"], state["conditions.length"])

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values each factor has."""
        return tuple(self.codes.amax(0).tolist())

    def of_emotion(self, label: int) -> Tensor:
        """Which training clips are of the class `label`, bool [clips]."""
        return self.codes[:, EMOTION] == 1 + label

    def draw(self, label: int, count: int, longest: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Factors `[count, FACTORS]` and lengths in frames [count] of new clips of the class `label`.

        Each takes intensity, sentence and about the length of a training clip of that class, and any training speaker
        of the same corpus.
        """
        codes, length = self.codes.cpu(), self.length.cpu()
        own = torch.nonzero(self.of_emotion(label))[:, 0].cpu()
        clips = own[torch.randint(len(own), (count,), generator=rng)]
        drawn = codes[clips].clone()
        for corpus in drawn[:, CORPUS].unique():
            speakers = codes[codes[:, CORPUS] == corpus, SPEAKER].unique()
            members = torch.nonzero(drawn[:, CORPUS] == corpus)[:, 0]
            drawn[members, SPEAKER] = speakers[torch.randint(len(speakers), (len(members),), generator=rng)]
        stretch = torch.exp(LENGTH_SPREAD * torch.randn(count, generator=rng))
        frames = (length[clips] * stretch).round().long().clamp(max=longest)
        return drawn.to(self.codes.device), frames.to(self.codes.device)


class Embedding(nn.Module):
    """A vector per clip from its conditions: a sum of one vector per factor and a projection of the numbers."""

    def __init__(self, sizes: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.factors = nn.ModuleList(self._factor(1 + size, width) for size in sizes)
        self.numbers = nn.Linear(NUMBERS, width)

    @staticmethod
    def _factor(size: int, width: int) -> nn.Embedding:
        factor = nn.Embedding(size, width)
        nn.init.normal_(factor.weight, std=0.3)
        return factor

    def forward(self, codes: Tensor, numbers: Tensor) -> Tensor:
        """Vectors `[clips, width]` from factors `[clips, FACTORS]` and `numbers` of `scaled`."""
        embedded = self.numbers(numbers)
        for factor, code in zip(self.factors, codes.T, strict=True):
            embedded = embedded + factor(code)
        return embedded


def scaled(frames: Tensor, height: Tensor | float, speed: Tensor | float) -> Tensor:
    """Lengths in frames [clips] and the factors by which clips are stretched, as numbers `[clips, NUMBERS]` near 0."""
    length = (frames.log() - MEAN_LOG_LENGTH) / LOG_LENGTH_STD
    return torch.stack([length, *(10 * (value - 1) + torch.zeros_like(length) for value in (height, speed))], dim=1)


def dropped(codes: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Factors of which each is unknown with the probability `share`, and in a third of that share of clips all are."""
    single = torch.rand(codes.shape, generator=rng) < share
    whole = torch.rand((len(codes), 1), generator=rng) < share / 3
    return codes.masked_fill((single | whole).to(codes.device), UNKNOWN)


def without_emotion(codes: Tensor) -> Tensor:
    """The same factors with emotion and intensity unknown."""
    codes = codes.clone()
    codes[:, [EMOTION, INTENSITY]] = UNKNOWN
    return codes
