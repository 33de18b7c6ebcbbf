"""Projection of embeddings to the plane, for figures."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits
from torch import Tensor

COLUMNS = ["pca_1", "pca_2", "tsne_1", "tsne_2"]


def project(embeddings: np.ndarray | Tensor, seed: int) -> np.ndarray:
    """Positions `[points, 4]` of embeddings `[points, width]`, in the order of COLUMNS.

    They are the first two principal components, and t-SNE (van der Maaten & Hinton, JMLR 9, 2008). One thread is used,
    so that the sums do not depend on the number of cores.
    """
    samples = np.asarray(embeddings, dtype=np.float64)
    perplexity = min(30, (len(samples) - 1) / 3)
    with threadpool_limits(1):
        components = PCA(2, svd_solver="full").fit_transform(samples)
        neighbours = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(samples)
    return np.hstack([components, neighbours])
