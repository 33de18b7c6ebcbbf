"""What every generator must do."""

import pytest
import torch

from ser.core.errors import InputError
from ser.core.optim import LOG_POINTS
from ser.core.params import Config
from ser.core.rng import make_rng
from ser.data.clips import Normaliser
from ser.generators import base
from ser.generators.base import EnhancementConfig
from tests.helpers.toy_generators import (
    CLIPS,
    EMBEDDINGS,
    FITS,
    FRAMES,
    LOWER,
    N_MELS,
    UPPER,
    bytes_of,
    embeddings_of,
    fit,
    loudness_difference,
    part,
    sample,
    toy_mels,
)

KNOWN = ["diffusion", "gan", "latent_diffusion", "unet_diffusion", "vae"]
SEQUENCES = ["diffusion", "gan", "latent_diffusion", "vae"]
ENHANCING = [name for name in KNOWN if base.get(name).enhance is not base.Generator.enhance]
ENHANCEMENT = EnhancementConfig(strength=0.5, steps=4, guidance=2.0)


@pytest.fixture(scope="module", params=KNOWN)
def fitted(request):
    """A generator after a fit of a few updates, and what it logged."""
    history = []
    return fit(request.param, log=history.append), history


def name_of(generator):
    return type(generator).__module__.rpartition(".")[2]


def test_the_generators_are_the_modules_that_are_not_shared():
    assert base.known() == KNOWN
    assert FITS.keys() == set(KNOWN)


@pytest.mark.parametrize("name", KNOWN)
def test_every_generator_keeps_the_contract(name):
    generator_class = base.get(name)
    assert issubclass(generator_class, base.Generator)
    assert generator_class.__module__ == base.module(name)
    assert issubclass(generator_class.FitConfig, Config)
    assert issubclass(generator_class.SampleConfig, Config)
    assert "count" in generator_class.SampleConfig.model_fields
    assert not generator_class.__abstractmethods__


@pytest.mark.parametrize(
    "name, hint",
    [
        ("difusion", "did you mean `diffusion`?"),
        ("sequences", f"known are {', '.join(KNOWN)}"),  # a module that is no generator
        ("score", f"known are {', '.join(KNOWN)}"),
    ],
)
def test_an_unknown_generator_is_refused_with_what_is_known(name, hint):
    with pytest.raises(InputError) as refused:
        base.get(name)
    assert f"key `study.generators`: there is no ser/generators/{name}.py, {hint}" in str(refused.value)


def test_losses_are_logged(fitted):
    generator, history = fitted
    assert len(history) == (1 if name_of(generator) == "vae" else LOG_POINTS)  # the VAE encodes in one batch
    assert all(torch.isfinite(torch.tensor(point["loss"])) for point in history)


def test_samples_are_finite_mels_no_longer_than_asked_for(fitted):
    generator, _ = fitted
    mels = sample(generator, LOWER)
    assert len(mels) == 12
    for mel in mels:
        assert mel.dtype == torch.float32 and mel.device.type == "cpu"
        assert mel.shape[0] == N_MELS and 0 < mel.shape[1] <= generator.config.frames
        assert torch.isfinite(mel).all()
    lengths = {mel.shape[1] for mel in mels}
    assert lengths == {FRAMES} if name_of(generator) == "unet_diffusion" else len(lengths) > 3
    assert len(set(bytes_of(mels))) == 12


def test_the_seed_determines_the_samples(fitted):
    generator, _ = fitted
    assert bytes_of(sample(generator, UPPER)) == bytes_of(sample(generator, UPPER))
    assert bytes_of(sample(generator, UPPER)) != bytes_of(sample(generator, UPPER, seed=1))


def test_a_restored_generator_samples_the_same_bytes(fitted):
    generator, _ = fitted
    state = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    restored = type(generator).restore(state, generator.config)
    assert restored is not generator and not restored.training
    restored_state = restored.state_dict()
    assert restored_state.keys() == state.keys()
    assert all(torch.equal(restored_state[name], state[name]) for name in state)
    for label in (LOWER, UPPER):
        assert bytes_of(sample(restored, label)) == bytes_of(sample(generator, label))


def test_the_seed_determines_the_fit(fitted):
    generator, _ = fitted
    name = name_of(generator)
    first, again, other = generator.state_dict(), fit(name).state_dict(), fit(name, seed=1).state_dict()
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    # The VAE draws nothing: its autoencoder is fitted already.
    assert all(torch.equal(first[key], other[key]) for key in first) == (name == "vae")


def test_mels_that_do_not_divide_are_refused():
    with pytest.raises(InputError, match="^params.yaml: key `mels.n_mels` is 10; the .* a multiple of 4"):
        fit("unet_diffusion", part(normaliser=Normaliser.blank(10)))


@pytest.mark.parametrize("name", KNOWN)
def test_bf16_is_deterministic_too(name):
    first, again = (fit(name, precision="bf16") for _ in range(2))
    assert bytes_of(sample(first)) == bytes_of(sample(again))
    assert all(torch.isfinite(mel).all() for mel in sample(first))


@pytest.mark.parametrize("name", SEQUENCES)
def test_generators_of_sequences_need_no_embeddings(name):
    with_embeddings, without = (fit(name, part(embeddings=embeddings)) for embeddings in (EMBEDDINGS, None))
    assert bytes_of(sample(with_embeddings)) == bytes_of(sample(without))


@pytest.mark.parametrize("name", SEQUENCES)
def test_the_first_speaker_of_a_fold_may_have_one_clip(name):
    """Partners, speakers and lengths are drawn from what there is."""
    index = torch.tensor([0, 1, 3, 5])  # of the lower kind there is a single clip
    few = part(clips=CLIPS.subset(index), factors=part().factors[index], embeddings=embeddings_of(CLIPS.labels[index]))
    assert len(sample(fit(name, few, batch=2) if name != "vae" else fit(name, few), LOWER)) == 12


def enhanced(generator, mels, label, seed=0, **change):
    labels = None if label is None else torch.full((len(mels),), label)
    embeddings = None if label is None else embeddings_of(labels)
    config = ENHANCEMENT.model_copy(update=change)
    return generator.enhance(mels, labels, embeddings, config, make_rng(seed))


def test_generators_that_are_no_diffusion_models_do_not_enhance():
    assert ENHANCING == ["diffusion", "latent_diffusion", "unet_diffusion"]
    with pytest.raises(NotImplementedError):
        enhanced(fit("vae"), toy_mels(LOWER), LOWER)


@pytest.fixture(scope="module", params=ENHANCING)
def enhancing(request):
    """A generator that has seen enough to know that there are emotions, and mels to enhance."""
    longest = FRAMES if request.param == "unet_diffusion" else 24
    return fit(request.param, updates=2 * LOG_POINTS), [mel[:, : longest - 1] for mel in toy_mels(LOWER)]


def test_enhanced_mels_have_the_lengths_of_the_mels(enhancing):
    generator, mels = enhancing
    result = enhanced(generator, mels, UPPER)
    assert [mel.shape for mel in result] == [mel.shape for mel in mels]
    assert all(mel.dtype == torch.float32 and torch.isfinite(mel).all() for mel in result)


def test_enhanced_mels_have_the_order_of_the_mels(enhancing):
    generator, lower = enhancing
    upper = [mel[:, : lower[0].shape[1]] for mel in toy_mels(UPPER)]
    mels = [mel for pair in zip(lower, upper, strict=True) for mel in pair]
    for number, mel in enumerate(enhanced(generator, mels, None, strength=0.05)):
        assert mel.shape == mels[number].shape
        assert (loudness_difference([mel]) > 0) == (number % 2 == UPPER)


def test_enhancement_is_determined_by_the_rng(enhancing):
    generator, mels = enhancing
    assert bytes_of(enhanced(generator, mels, UPPER)) == bytes_of(enhanced(generator, mels, UPPER))
    assert bytes_of(enhanced(generator, mels, UPPER)) != bytes_of(enhanced(generator, mels, UPPER, seed=1))


def test_the_emotion_of_enhancement_matters_and_so_does_its_absence(enhancing):
    generator, mels = enhancing
    upper, lower, none = (bytes_of(enhanced(generator, mels, label)) for label in (UPPER, LOWER, None))
    assert len({*map(tuple, (upper, lower, none))}) == 3
    assert bytes_of(enhanced(generator, mels, None, guidance=5.0)) == none


def test_enhancement_keeps_the_more_of_a_clip_the_weaker_it_is(enhancing):
    generator, mels = enhancing
    changes = []
    for strength in (0.05, 0.4, 0.9):
        result = enhanced(generator, mels, LOWER, strength=strength, steps=8)
        changes.append(sum(float((mel - own).abs().mean()) for mel, own in zip(result, mels)))
    assert changes[0] < 0.9 * min(changes[1:])  # the toy autoencoder loses much of the noise in the mels
