"""The whole of params.yaml: what is refused, and how its key is named."""

import copy
import shutil
from pathlib import Path

import pytest
from dvc.utils.serialize import modify_yaml

from ser import schema
from ser.core import params
from ser.core.errors import InputError
from ser.generators import base
from tests.helpers.project import ROOT


@pytest.fixture
def values():
    """What the committed params.yaml holds."""
    return params.load(ROOT / "params.yaml")


def test_the_committed_file_is_valid(values):
    schema.check(values)


def test_every_arm_and_generator_with_settings_is_in_the_committed_study_or_in_replications(values):
    assert set(values["study"]["arms"]) == set(values["augmentation"])
    assert set(values["study"]["generators"]) == set(values["arms"])
    assert set(values["generators"]) == {*values["study"]["generators"], "unet_diffusion"} == set(base.known())


def keys(value, *above):
    """Every key below the root, as a tuple of names."""
    if isinstance(value, dict):
        for name, child in value.items():
            yield (*above, name)
            yield from keys(child, *above, name)


def at(values, key):
    for name in key:
        values = values[name]
    return values


def refused(values, key, change):
    """The message for values in which `change` was done to the section that holds `key`."""
    changed = copy.deepcopy(values)
    change(at(changed, key[:-1]), key[-1])
    with pytest.raises(InputError, match="^params.yaml: ") as error:
        schema.check(changed)
    return str(error.value)


def test_a_key_that_nothing_reads_is_refused_wherever_it_stands(values):
    sections = [key for key in keys(values) if isinstance(at(values, key), dict)]
    for section in ("augmentation", "arms", "generators"):  # of any name
        sections.remove((section,))
    for section in sections:
        message = refused(values, (*section, "unread"), lambda values, name: values.update({name: 1}))
        assert f"unknown key `{'.'.join(section)}.unread`" in message


def test_a_value_of_the_wrong_type_is_refused_wherever_it_stands(values):
    for key in keys(values):
        message = refused(values, key, lambda section, name: section.update({name: ["wrong", {}]}))
        assert f"key `{'.'.join(key)}" in message


def test_a_missing_key_is_named_wherever_it_stood(values):
    for key in keys(values):
        knob = key in [("audio", "remove_mean"), ("split", "file")] or (key[0] == "augmentation" and len(key) == 3)
        if knob or key == ("generators", "unet_diffusion"):  # off where it is not named; not in the study
            continue
        message = refused(values, key, lambda section, name: section.pop(name))
        assert f"key `{'.'.join(key)}`" in message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (("study", "arms"), ["baseline", "loud"], "key `augmentation.loud`: "),
        (("study", "arms"), ["masked"], "key `study.arms`: Value error, must hold `baseline`"),
        (
            ("study", "generators"),
            ["dream"],
            "key `study.generators`: there is no ser/generators/dream.py, known are diffusion, gan, ",
        ),
        (("study", "generators"), ["vea"], "there is no ser/generators/vea.py, did you mean `vae`?"),
        (("study", "enhanced"), ["vae"], "key `study.enhanced`: ser/generators/vae.py has no `enhance`"),
        (("study", "recognising"), ["gan"], "key `study.recognising`: ser/generators/gan.py has no `log_likelihoods`"),
        (("study", "enhanced"), ["dream"], "key `study.enhanced`: dream is not in `study.generators`"),
        (("study", "build_on"), "loud", "key `study.build_on`: loud is not in `augmentation`"),
        (("export", "arm"), "loud", "key `export.arm`: loud is not in `study`"),
        (("emotions",), ["anger", "rage"], "key `emotions.1`: "),
        (
            ("classifier", "arch"),
            "efficientnet",
            "key `classifier.arch`: Value error, there is no ser/models/backbones/efficientnet.py, did you mean",
        ),
        (("seed",), -1, "key `seed`: Input should be greater than or equal to 0, found -1"),
        (("augmentation", "masked", "time_mask"), 1.5, "key `augmentation.masked.time_mask`: "),
        (("arms", "diffusion", "share"), 1.0, "key `arms.diffusion.share`: "),
        (
            ("generators", "unet_diffusion", "fit", "channels"),
            [64, 10],
            "key `generators.unet_diffusion.fit.channels.1`: ",
        ),
        (("generators", "dream"), {}, "unknown key `generators.dream`, known are diffusion, gan, "),
        (("generators", "difusion"), {}, "unknown key `generators.difusion`, did you mean `diffusion`?"),
        (("generators", "diffusion", "fit", "heads"), 7, "key `generators.diffusion.fit.heads`: Value error, must "),
        (("generators", "latent_diffusion", "fit", "frames"), 90, "Input should be a multiple of 4, found 90"),
        (("generators", "vae", "sample", "farthest"), 0.05, "Value error, must not be less than `nearest`, found 0.05"),
        (("autoencoder", "channels"), 0, "key `autoencoder.channels`: Input should be greater than 0, found 0"),
        (("enhancement", "strength"), 0.0, "key `enhancement.strength`: Input should be greater than 0"),
    ],
)
def test_what_cannot_be_is_refused(values, key, value, message):
    assert message in refused(values, key, lambda section, name: section.update({name: value}))


def test_an_override_by_dvc_changes_one_line_of_params_yaml(tmp_path):
    """The file is written as DVC writes it, so that `dvc exp run -S` leaves all other lines as they are."""
    path = Path(shutil.copy(ROOT / "params.yaml", tmp_path))
    with modify_yaml(path) as values:
        values["augmentation"]["augmented"]["vtlp"] = 0.2
    before, after = (Path(file).read_text().splitlines() for file in (ROOT / "params.yaml", path))
    assert [new for old, new in zip(before, after, strict=True) if old != new] == [
        "    vtlp: 0.2               # mel axis stretched by 0.85 to 1.15"
    ]
