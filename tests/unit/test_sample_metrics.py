"""The metrics of synthetic clips, on sets whose truth is known."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from ser.core.rng import make_rng
from ser.data.clips import Clips
from ser.evaluation import sample_metrics


def gaussian(mean, scale, count=4000, width=6, seed=0):
    return mean + scale * torch.randn(count, width, generator=make_rng(seed))


def test_a_set_is_at_no_distance_from_itself():
    embeddings = gaussian(0, 1)
    assert sample_metrics.frechet(embeddings, embeddings) == pytest.approx(0, abs=1e-6)


def test_the_closed_form_of_two_gaussians():
    expected = 6 * (2.0**2 + (3 - 1) ** 2)
    assert sample_metrics.frechet(gaussian(2, 3), gaussian(0, 1, seed=1)) == pytest.approx(expected, rel=0.05)


def test_the_same_as_with_a_matrix_root():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    one, other = (rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)) for _ in range(2))
    covariances = np.cov(one.T), np.cov(other.T)
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert sample_metrics.frechet(one, other) == pytest.approx(expected)
    assert sample_metrics.frechet(one, other) == pytest.approx(sample_metrics.frechet(other, one))


def test_fewer_clips_than_dimensions_give_a_number():
    assert sample_metrics.frechet(gaussian(0, 1, count=4), gaussian(1, 1, seed=1)) > 0


# Kernel distance


def test_clips_of_the_same_kind_are_at_no_kernel_distance_however_few():
    distances = [
        sample_metrics.kernel(gaussian(0, 1, 20, seed=2 * s), gaussian(0, 1, 20, seed=2 * s + 1)) for s in range(200)
    ]
    assert np.mean(distances) == pytest.approx(0, abs=3 * np.std(distances) / 200**0.5)
    assert min(distances) < 0


def test_the_kernel_distance_grows_with_the_shift():
    distances = [sample_metrics.kernel(gaussian(shift, 1), gaussian(0, 1, seed=1)) for shift in (0, 0.5, 1, 2)]
    assert distances[0] == pytest.approx(0, abs=0.02)
    assert distances == sorted(distances) and distances[1] > 0.1


def test_the_kernel_distance_as_a_sum_over_pairs_of_different_clips():
    from sklearn.metrics.pairwise import polynomial_kernel

    one, other = gaussian(0, 1, 5), gaussian(1, 1, 7, seed=1)
    within = [
        np.mean([polynomial_kernel(each)[i, j] for i in range(len(each)) for j in range(len(each)) if i != j])
        for each in (one.double(), other.double())
    ]
    expected = sum(within) - 2 * polynomial_kernel(one.double(), other.double()).mean()
    assert sample_metrics.kernel(one, other) == pytest.approx(expected)


# Neighbourhoods


def test_neighbourhoods_on_a_line():
    real, synthetic = torch.tensor([[0.0], [1], [3], [7]]), torch.tensor([[1.5], [3.5], [20], [21]])
    # Neighbourhoods reach 1, 1, 2 and 4 far around real clips, 2, 2, 1 and 1 around synthetic ones.
    assert sample_metrics.neighbourhoods(synthetic, real, neighbours=1) == {
        "precision": 2 / 4,
        "recall": 3 / 4,
        "density": (2 + 2) / 4,
        "coverage": 3 / 4,
    }


def test_a_set_covers_itself():
    embeddings = gaussian(0, 1, 100)
    result = sample_metrics.neighbourhoods(embeddings, embeddings)
    assert (result["precision"], result["recall"], result["coverage"]) == (1, 1, 1)
    assert result["density"] > 1


def test_sets_of_the_same_kind_cover_each_other():
    result = sample_metrics.neighbourhoods(gaussian(0, 1, 500), gaussian(0, 1, 500, seed=1))
    assert min(result["precision"], result["recall"], result["coverage"]) > 0.85
    assert result["density"] == pytest.approx(1, abs=0.15)


def test_a_set_elsewhere_covers_nothing():
    result = sample_metrics.neighbourhoods(gaussian(50, 1, 100), gaussian(0, 1, 100, seed=1))
    assert result == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_after_mode_collapse_precision_stays_while_recall_and_coverage_fall():
    real = torch.cat([gaussian(0, 1, 250), gaussian(20, 1, 250, seed=1)])
    whole = sample_metrics.neighbourhoods(torch.cat([gaussian(0, 1, 250, seed=2), gaussian(20, 1, 250, seed=3)]), real)
    one_mode = sample_metrics.neighbourhoods(gaussian(0, 1, 500, seed=2), real)
    one_clip = sample_metrics.neighbourhoods(real[:1].expand(500, 6) + gaussian(0, 0.01, 500, seed=2), real)
    assert one_mode["precision"] > 0.85 and one_clip["precision"] == 1
    assert one_mode["recall"] < 0.55 < 0.85 < whole["recall"] and one_clip["recall"] < 0.01
    assert one_mode["coverage"] < 0.55 < 0.85 < whole["coverage"] and one_clip["coverage"] < 0.05


# Memorisation


def clips(count, seed, frames=(20, 60)):
    """Clips of smooth random spectra, 8 bands; their Normaliser."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(*frames, count)
    spectra = [gaussian_filter1d(rng.normal(-40, 30, (length, 8)), 2, axis=0) for length in lengths]
    start = torch.as_tensor(np.cumsum(lengths) - lengths)
    labels = torch.zeros(count, dtype=torch.long)
    smooth = Clips(torch.as_tensor(np.concatenate(spectra)).half(), start, torch.as_tensor(lengths), labels)
    return smooth, smooth.normaliser()


def crops(source, normaliser, seed, frames=40):
    return normaliser(source.random_crops(torch.arange(len(source)), frames, make_rng(seed)))


def test_planted_copies_are_found_wherever_they_were_cut_and_nothing_else():
    training, normaliser = clips(80, seed=0)
    held_out = sample_metrics.nearest_two(crops(clips(80, seed=1)[0], normaliser, seed=2), training, normaliser)
    honest = crops(clips(60, seed=3)[0], normaliser, seed=4)
    copies = crops(training, normaliser, seed=5)[:20] + 0.1 * torch.randn(20, 1, 8, 40, generator=torch.manual_seed(0))
    distances = sample_metrics.nearest_two(torch.cat([honest, copies]), training, normaliser)
    result = sample_metrics.memorisation(distances, held_out)
    assert result["copied"] == pytest.approx(20 / 80, abs=0.04)
    assert (distances[60:, 0] < 0.5 * distances[60:, 1]).all()
    assert sample_metrics.memorisation(held_out, held_out)["copied"] <= 0.02


def test_blur_is_no_copy_although_it_is_near():
    training, normaliser = clips(80, seed=0)
    held_out = sample_metrics.nearest_two(crops(clips(80, seed=1)[0], normaliser, seed=2), training, normaliser)
    blurred = crops(training, normaliser, seed=5).mean(0, keepdim=True).expand(30, 1, 8, 40)
    blur = sample_metrics.memorisation(sample_metrics.nearest_two(blurred, training, normaliser), held_out)
    usual = sample_metrics.memorisation(held_out, held_out)
    assert blur["distance"] < usual["distance"]
    assert blur["copied"] == 0 and blur["ratio"] >= usual["ratio"]


def test_the_distance_is_the_root_mean_square_of_a_cell():
    training, normaliser = clips(2, seed=0, frames=(40, 41))
    mels = crops(training, normaliser, seed=0)
    distances = sample_metrics.nearest_two(mels[:1] + 3, training, normaliser)
    assert distances[0, 0] == pytest.approx(3, rel=1e-3)
    expected = (mels[0] + 3 - mels[1]).square().mean().sqrt()
    assert distances[0, 1] == pytest.approx(expected.item(), rel=1e-3)
