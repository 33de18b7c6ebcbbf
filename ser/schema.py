"""The whole of params.yaml: every section with the type its users read it as."""

import importlib.util
from typing import Literal

from pydantic import NonNegativeInt

from ser.audio.io import Audio
from ser.audio.mel import Mels
from ser.core import params
from ser.core.errors import InputError
from ser.corpora.scan import Corpora
from ser.data.manifest import EMOTIONS
from ser.data.splits import Split
from ser.evaluation.statistics import Comparison
from ser.generators.denoiser import Enhancement
from ser.models.classifier import ClassifierSettings
from ser.training.arms import Arm
from ser.training.loop import Training


class Quality(params.Section):
    classifier: ClassifierSettings
    training: Training


class Export(params.Section):
    arm: str


class Params(params.Section):
    seed: NonNegativeInt
    study: Comparison
    corpora: Corpora
    emotions: list[Literal[EMOTIONS]]
    audio: Audio
    mels: Mels
    split: Split
    classifier: ClassifierSettings
    training: Training
    arms: dict[str, Arm]
    generators: dict[str, dict]
    enhancement: Enhancement
    quality: Quality
    export: Export


def check(values):
    """Refuse values of params.yaml, as a nested dict, that no stage would accept; InputError names every such key."""
    whole = params.check(values, Params)
    for name in [*whole.study.arms, *whole.study.generators]:
        params.check(values["arms"].get(name), Arm, f"arms.{name}")
    for name in whole.study.generators:
        if importlib.util.find_spec(f"ser.generators.{name}") is None:
            raise InputError(f"params.yaml: key `study.generators`: there is no ser/generators/{name}.py")
        module = importlib.import_module(f"ser.generators.{name}")
        settings = values["generators"].get(name)
        params.check(settings, _generator(module), f"generators.{name}")
    if whole.export.arm not in [*whole.study.arms, *whole.study.generators]:
        raise InputError(f"params.yaml: key `export.arm`: {whole.export.arm} is not in `study`")
    for name in whole.study.enhanced:
        if name not in whole.study.generators:
            raise InputError(f"params.yaml: key `study.enhanced`: {name} is not in `study.generators`")
        if not hasattr(importlib.import_module(f"ser.generators.{name}"), "enhance"):
            raise InputError(f"params.yaml: key `study.enhanced`: ser/generators/{name}.py has no `enhance`")


def _generator(module):
    class Generator(params.Section):
        fit: module.Fit
        sample: module.Sample
        recognised: bool

    return Generator
