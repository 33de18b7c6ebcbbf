"""Embeddings laid out in the plane, to be looked at."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

COLUMNS = ["pca_1", "pca_2", "tsne_1", "tsne_2"]


def project(embeddings, seed):
    """Positions `[points, 4]` of embeddings `[points, width]`, in order of COLUMNS: their first two principal
    components, and t-SNE (van der Maaten & Hinton, JMLR 9, 2008). One thread, so that its sums do not depend on the
    cores."""
    embeddings = np.asarray(embeddings, dtype=np.float64)
    perplexity = min(30, (len(embeddings) - 1) / 3)
    with threadpool_limits(1):
        components = PCA(2, svd_solver="full").fit_transform(embeddings)
        neighbours = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(embeddings)
    return np.hstack([components, neighbours])
