import numpy as np
import pytest
import torch

from ser.core.fold import Fold
from ser.core.rng import Stream, derive_seed, make_rng
from ser.data.clips import Normaliser
from ser.models.classifier import ClassifierConfig, build_classifier


def fold(repeat, number):
    return Fold(repeat, number, [], [], [])


FOLDS = [fold(repeat, number) for repeat in range(5) for number in range(5)]
EXPORT = {Stream.EXPORT_WEIGHTS, Stream.EXPORT_TRAINING}  # of all clips, without a fold
USES = [*((stream, None) for stream in EXPORT), *((stream, fold) for stream in set(Stream) - EXPORT for fold in FOLDS)]


def test_every_stream_of_every_fold_has_a_seed_of_its_own():
    seeds = {derive_seed(seed, stream, fold) for seed in range(5) for stream, fold in USES}
    assert len(seeds) == 5 * len(USES)


def test_every_further_number_has_a_seed_of_its_own():
    seeds = {derive_seed(0, Stream.SAMPLE, fold, number) for fold in FOLDS for number in range(100)}
    assert len(seeds) == 100 * len(FOLDS)
    assert not seeds & {derive_seed(0, stream, fold) for stream, fold in USES}


def test_a_seed_depends_on_the_numbers_of_the_fold_alone():
    assert derive_seed(1, Stream.FIT, fold(2, 3)) == derive_seed(1, Stream.FIT, fold(2, 3))
    assert derive_seed(1, Stream.FIT, Fold(2, 3, ["a"], ["b"], ["c"])) == derive_seed(1, Stream.FIT, fold(2, 3))


@pytest.mark.parametrize(
    ("seed", "entropy"),
    [
        (derive_seed(5, Stream.WEIGHTS, fold(1, 2)), (5, 1, 2)),
        (derive_seed(5, Stream.TRAINING, fold(1, 2)), (5, 1, 2, 1)),
        (derive_seed(5, Stream.FIT, fold(1, 2)), (5, 1, 2, 2)),
        (derive_seed(5, Stream.SAMPLE, fold(1, 2), 7), (5, 1, 2, 3, 7)),
        (derive_seed(5, Stream.QUALITY_CLIPS, fold(1, 2)), (5, 1, 2, 4)),
        (derive_seed(5, Stream.QUALITY_TRAINING_CLIPS, fold(1, 2)), (5, 1, 2, 5)),
        (derive_seed(5, Stream.QUALITY_WEIGHTS, fold(1, 2)), (5, 1, 2, 6)),
        (derive_seed(5, Stream.QUALITY_TRAINING, fold(1, 2)), (5, 1, 2, 7)),
        (derive_seed(5, Stream.QUALITY_CROPS, fold(1, 2)), (5, 1, 2, 8)),
        (derive_seed(5, Stream.ENHANCE, fold(1, 2)), (5, 1, 2, 9)),
        (derive_seed(5, Stream.EXPORT_WEIGHTS), (5, 10)),
        (derive_seed(5, Stream.EXPORT_TRAINING), (5, 11)),
        (derive_seed(5, Stream.AUTOENCODER, fold(1, 2)), (5, 1, 2, 12)),
    ],
)
def test_seeds_stay_those_of_the_committed_results(seed, entropy):
    assert seed == np.random.SeedSequence(entropy).generate_state(1)[0]


def test_weights_depend_on_seed_and_fold_alone():
    """Every arm builds its classifier from Stream.WEIGHTS, so that all start from the same weights."""
    config = ClassifierConfig(arch="mlp", pretrained="none", frames=8, resize=None, dropout=0.5)

    def weights(seed, fold):
        torch.rand(3)  # whatever was drawn before
        model = build_classifier(config, Normaliser.blank(4), 3, derive_seed(seed, Stream.WEIGHTS, fold))
        return model.head.weight.detach().numpy().tobytes()

    assert weights(0, fold(0, 1)) == weights(0, fold(0, 1))
    assert len({weights(seed, fold(repeat, 0)) for seed in range(2) for repeat in range(2)}) == 4


def test_an_rng_is_determined_by_its_seed_and_draws_on_the_cpu():
    first, second = make_rng(7), make_rng(7)
    assert first.device.type == "cpu"
    assert torch.equal(torch.rand(3, generator=first), torch.rand(3, generator=second))
    assert not torch.equal(torch.rand(3, generator=make_rng(7)), torch.rand(3, generator=make_rng(8)))
