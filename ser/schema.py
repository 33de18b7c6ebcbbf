"""The whole of params.yaml: every section with the type that its stages read it as."""

from typing import Any

from pydantic import Field, NonNegativeInt, create_model

from ser.audio.io import AudioConfig
from ser.audio.mel import MelConfig
from ser.core import params
from ser.core.errors import InputError, hint
from ser.core.params import Config
from ser.corpora.scan import CorporaConfig
from ser.data.manifest import Emotion
from ser.data.splits import SplitConfig
from ser.evaluation.study import StudyConfig
from ser.generators import base
from ser.generators.autoencoder import AutoencoderConfig
from ser.generators.base import EnhancementConfig, RecognitionConfig
from ser.models.classifier import ClassifierConfig
from ser.training.arms import ArmConfig, ArmTrainingConfig
from ser.training.augmentation import AugmentationConfig
from ser.training.loop import TrainingConfig


class SampleQualityConfig(Config):
    classifier: ClassifierConfig
    training: TrainingConfig


class ExportConfig(Config):
    arm: str
    accuracy: float = Field(gt=0, le=1)


class ParamsConfig(Config):
    seed: NonNegativeInt
    study: StudyConfig
    corpora: CorporaConfig
    emotions: list[Emotion]
    audio: AudioConfig
    mels: MelConfig
    split: SplitConfig
    classifier: ClassifierConfig
    training: ArmTrainingConfig
    augmentation: dict[str, AugmentationConfig]
    arms: dict[str, ArmConfig]
    autoencoder: AutoencoderConfig
    generators: dict[str, dict[str, Any]]
    enhancement: EnhancementConfig
    sample_quality: SampleQualityConfig
    export: ExportConfig


def check(values: dict[str, Any]) -> None:
    """Refuse values of params.yaml that no stage would accept; the InputError names every such key."""
    config = params.check(values, ParamsConfig)
    _check_generators(values["generators"], config.study.generators)
    _check_study(config.study, values)
    if config.export.arm not in config.study.stage_of:
        raise InputError(f"params.yaml: key `export.arm`: {config.export.arm} is not in `study`")


def _check_generators(sections: dict[str, Any], studied: list[str]) -> None:
    for name in sections:
        if name not in base.known():
            raise InputError(f"params.yaml: unknown key `generators.{name}`, {hint(name, base.known())}")
    for name in dict.fromkeys([*studied, *sections]):
        generator = base.get(name)
        fields: dict[str, Any] = {"fit": generator.FitConfig, "sample": generator.SampleConfig, "recognised": bool}
        if generator.log_likelihoods is not base.Generator.log_likelihoods:
            fields["recognition"] = RecognitionConfig
        kind = create_model("GeneratorConfig", __base__=Config, **fields)
        params.check(sections.get(name), kind, f"generators.{name}")


def _check_study(study: StudyConfig, values: dict[str, Any]) -> None:
    for arm in study.arms:
        params.check(values["augmentation"].get(arm), AugmentationConfig, f"augmentation.{arm}")
    for name in study.generators:
        params.check(values["arms"].get(name), ArmConfig, f"arms.{name}")
    for key, method in {"enhanced": "enhance", "recognising": "log_likelihoods"}.items():
        for name in getattr(study, key):
            if name not in study.generators:
                raise InputError(f"params.yaml: key `study.{key}`: {name} is not in `study.generators`")
            if getattr(base.get(name), method) is getattr(base.Generator, method):
                raise InputError(f"params.yaml: key `study.{key}`: ser/generators/{name}.py has no `{method}`")
    if study.build_on not in values["augmentation"]:
        raise InputError(f"params.yaml: key `study.build_on`: {study.build_on} is not in `augmentation`")
    if study.recognising and study.build_on not in study.arms:
        raise InputError(f"params.yaml: key `study.recognising`: needs the arm {study.build_on} in `study.arms`")
