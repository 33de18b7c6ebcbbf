import numpy as np
import pytest
import torch

from ser import quality


def gaussian(mean, scale, count=4000, width=6, seed=0):
    return mean + scale * torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_a_set_is_at_no_distance_from_itself():
    embeddings = gaussian(0, 1)
    assert quality.frechet(embeddings, embeddings) == pytest.approx(0, abs=1e-6)


def test_the_closed_form_of_two_gaussians():
    expected = 6 * (2.0**2 + (3 - 1) ** 2)
    assert quality.frechet(gaussian(2, 3), gaussian(0, 1, seed=1)) == pytest.approx(expected, rel=0.05)


def test_the_same_as_with_a_matrix_root():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    one, other = (rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)) for _ in range(2))
    covariances = np.cov(one.T), np.cov(other.T)
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert quality.frechet(one, other) == pytest.approx(expected)
    assert quality.frechet(one, other) == pytest.approx(quality.frechet(other, one))


def test_fewer_clips_than_dimensions_give_a_number():
    assert quality.frechet(gaussian(0, 1, count=4), gaussian(1, 1, seed=1)) > 0
