"""A generator that stages can restore, and that a test lets do one thing."""

from typing import ClassVar

from ser.core.params import Config
from ser.generators import base


class FakeFitConfig(Config):
    frames: int


class FakeGenerator(base.Generator):
    """A subclass notes in `calls` what it is asked for."""

    FitConfig = FakeFitConfig
    SampleConfig = Config
    calls: ClassVar[list] = []

    @classmethod
    def fit(cls, part, config, seed, log):
        """Not needed."""

    @classmethod
    def restore(cls, state, config):
        return cls(config, base.Normaliser.from_state(state))

    def sample(self, label, embeddings, config, rng):
        """Not needed."""
