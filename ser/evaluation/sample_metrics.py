"""Metrics of synthetic clips: how similar two sets of embeddings are, and whether clips copy training clips."""

import numpy as np
import torch
from torch import Tensor

from ser.data.clips import Clips, Normaliser

NEIGHBOURS = 5
POSITIONS = 17


def frechet(one: Tensor, other: Tensor) -> float:
    """Fréchet distance of two sets of embeddings `[clips, width]`, each taken as a Gaussian.

    Heusel et al. 2017, arXiv 1706.08500, eq. 6. Fewer clips give a larger distance: compare equal numbers.
    """
    (mean, covariance), (other_mean, other_covariance) = _gaussian(one), _gaussian(other)
    # The trace of the root of a matrix product with real, non-negative eigenvalues: the sum of their roots.
    eigenvalues = np.linalg.eigvals(covariance @ other_covariance).real.clip(min=0)
    means = ((mean - other_mean) ** 2).sum()
    return float(means + np.trace(covariance) + np.trace(other_covariance) - 2 * np.sqrt(eigenvalues).sum())


def _gaussian(embeddings: Tensor) -> tuple[np.ndarray, np.ndarray]:
    samples = torch.as_tensor(embeddings).double().numpy()
    return samples.mean(0), np.cov(samples, rowvar=False)


def kernel(one: Tensor, other: Tensor) -> float:
    """Kernel distance of two sets of embeddings `[clips, width]`.

    It is the unbiased squared maximum mean discrepancy under the kernel (x y / width + 1)^3 (Binkowski et al. 2018,
    arXiv 1801.01401, sections 2.1 and 3.1). Two sets drawn from the same clips have a distance of 0 on average,
    sometimes below; it does not depend on the number of clips.
    """
    one, other = one.double(), other.double()
    return (_mean_over_pairs(one) + _mean_over_pairs(other) - 2 * _similarity(one, other).mean()).item()


def _mean_over_pairs(embeddings: Tensor) -> Tensor:
    """Mean similarity of two different clips."""
    similarity = _similarity(embeddings, embeddings)
    return (similarity.sum() - similarity.trace()) / (len(embeddings) * (len(embeddings) - 1))


def _similarity(one: Tensor, other: Tensor) -> Tensor:
    return (one @ other.T / one.shape[1] + 1) ** 3


def neighbourhoods(synthetic: Tensor, real: Tensor, neighbours: int = NEIGHBOURS) -> dict[str, float]:
    """How well two sets of embeddings `[clips, width]` cover each other.

    The neighbourhood of a clip is the ball that reaches its `neighbours`-th nearest clip of the same set.

    - precision: share of the synthetic clips in the neighbourhood of at least one real clip;
    - recall: share of the real clips in the neighbourhood of at least one synthetic clip (both Kynkäänniemi et al.
      2019, arXiv 1904.06991, eq. 1 and 2);
    - density: number of real neighbourhoods that a synthetic clip lies in, divided by `neighbours`; about 1 where the
      two sets have the same distribution;
    - coverage: share of the real clips with a synthetic clip in their neighbourhood (both Naeem et al. 2020, arXiv
      2002.09797, eq. 3 and 4).
    """
    distance = _distances(real, synthetic)
    inside_real = (distance <= _radius(real, neighbours)[:, None]).double()
    inside_synthetic = (distance <= _radius(synthetic, neighbours)).double()
    return {
        "precision": inside_real.amax(0).mean().item(),
        "recall": inside_synthetic.amax(1).mean().item(),
        "density": inside_real.sum(0).mean().item() / neighbours,
        "coverage": inside_real.amax(1).mean().item(),
    }


def _distances(one: Tensor, other: Tensor) -> Tensor:
    return torch.cdist(one.double(), other.double(), compute_mode="donot_use_mm_for_euclid_dist")


def _radius(embeddings: Tensor, neighbours: int) -> Tensor:
    return _distances(embeddings, embeddings).kthvalue(neighbours + 1).values  # the nearest is the clip itself


def nearest_two(mels: Tensor, clips: Clips, normaliser: Normaliser, positions: int = POSITIONS) -> Tensor:
    """Distances of normalised mels `[n, 1, n_mels, frames]` to the nearest two of `clips`: `[n, 2]` on the CPU.

    A distance is the root mean square difference of a cell, in standard deviations of its mel band. Each clip counts
    with the closest of `positions` crops, evenly spread from its start to its end, so that a copy is found wherever it
    was cut. All crops at one position are compared by one matrix product.
    """
    queries = mels.flatten(1)
    clip_index = torch.arange(len(clips), device=mels.device)
    closest = torch.full((len(queries), len(clips)), torch.inf, device=mels.device)
    for position in torch.linspace(0, 1, positions):
        crops = normaliser(clips.crops(clip_index, mels.shape[-1], position.item())).flatten(1)
        closest = closest.minimum(torch.cdist(queries, crops))
    return closest.topk(2, largest=False).values.cpu() / queries.shape[1] ** 0.5


def memorisation(distances: Tensor, held_out_distances: Tensor) -> dict[str, float]:
    """Whether clips are copies of training clips.

    Both arguments are distances `[clips, 2]` from `nearest_two`: those of the clips, and those of held-out real clips.

    - distance: the median distance to the nearest training clip;
    - ratio: the median ratio of that distance to the distance to the second-nearest training clip. It is low for a
      copy, but not for a blurred clip, which is about as near to many training clips;
    - copied: share of the clips with a ratio below the 1st percentile of held-out clips; about 0.01 without copies.
    """
    ratio, held_out_ratio = (
        nearest[:, 0] / nearest[:, 1].clamp(min=1e-9) for nearest in (distances, held_out_distances)
    )
    return {
        "distance": distances[:, 0].median().item(),
        "ratio": ratio.median().item(),
        "copied": (ratio < held_out_ratio.quantile(0.01)).double().mean().item(),
    }
