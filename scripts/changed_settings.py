"""Which settings have changed since an experiment was run."""

from typing import Any

from scripts.overrides import flattened
from ser.audio.io import AudioConfig
from ser.core.params import Config
from ser.training.augmentation import AugmentationConfig


def changed_settings(then: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return {key: (value then, value now)} where two versions of params.yaml differ in what an experiment used.

    A key that one of them lacks has the value "not set" there.
    """
    old, new = dict(flattened(_used(then))), dict(flattened(_used(now)))
    return {
        key: (old.get(key, "not set"), new.get(key, "not set")) for key in old | new if old.get(key) != new.get(key)
    }


def _used(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that the arms and generators of the study depend on, up to their comparison.

    Policies and generators that take no part are left out; knobs that params.yaml leaves out have their defaults.
    """
    study = {"recognising": []} | settings["study"]  # the oldest results know no generators that recognise
    generators = study["generators"]
    unused = {"export"}
    if not generators:
        unused |= {"arms", "autoencoder", "generators", "sample_quality"}
    if not study["enhanced"]:
        unused |= {"enhancement"}
    policies = [*study["arms"], *([study["build_on"]] if generators else [])]
    used = {key: value for key, value in settings.items() if key not in unused}
    used["audio"] = _defaults(AudioConfig) | settings["audio"]
    used["augmentation"] = {
        arm: _defaults(AugmentationConfig) | settings["augmentation"].get(arm, {}) for arm in policies
    }
    for section in {"arms", "generators"} & used.keys():
        used[section] = {name: dict(value) for name, value in settings[section].items() if name in generators}
    for name in set(generators).difference(study["recognising"]):
        used["generators"][name].pop("recognition", None)
    used["study"] = {key: value for key, value in study.items() if generators or key != "build_on"}
    return used


def _defaults(kind: type[Config]) -> dict[str, Any]:
    return {name: field.default for name, field in kind.model_fields.items() if not field.is_required()}
