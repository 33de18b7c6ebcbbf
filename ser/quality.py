"""How good synthetic clips are."""

import numpy as np
import torch


def frechet(one, other):
    """Fréchet distance of two sets of embeddings `[clips, width]`, each taken as a Gaussian (Heusel et al. 2017, arXiv
    1706.08500, eq. 6). Fewer clips give a larger distance: compare equal numbers."""
    (mean, covariance), (other_mean, other_covariance) = _gaussian(one), _gaussian(other)
    # The trace of the root of a matrix product with real, non-negative eigenvalues: the sum of their roots.
    eigenvalues = np.linalg.eigvals(covariance @ other_covariance).real.clip(min=0)
    means = ((mean - other_mean) ** 2).sum()
    return float(means + np.trace(covariance) + np.trace(other_covariance) - 2 * np.sqrt(eigenvalues).sum())


def _gaussian(embeddings):
    embeddings = torch.as_tensor(embeddings).double().numpy()
    return embeddings.mean(0), np.cov(embeddings, rowvar=False)
