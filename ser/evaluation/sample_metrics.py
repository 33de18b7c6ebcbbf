"""How good synthetic clips are: two sets of embeddings compared, and how near clips come to those trained on."""

import numpy as np
import torch

NEIGHBOURS = 5
POSITIONS = 17


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


def kernel(one, other):
    """Kernel distance of two sets of embeddings `[clips, width]`: the unbiased squared maximum mean discrepancy under
    the kernel (x y / width + 1)^3 (Binkowski et al. 2018, arXiv 1801.01401, sections 2.1 and 3.1). Two sets drawn from
    the same clips are at 0 on average, sometimes below; the number of clips does not matter."""
    one, other = one.double(), other.double()
    return (_pairs(one) + _pairs(other) - 2 * _similarity(one, other).mean()).item()


def _pairs(embeddings):
    """Mean similarity of two different clips."""
    similarity = _similarity(embeddings, embeddings)
    return (similarity.sum() - similarity.trace()) / (len(embeddings) * (len(embeddings) - 1))


def _similarity(one, other):
    return (one @ other.T / one.shape[1] + 1) ** 3


def neighbourhoods(synthetic, real, neighbours=NEIGHBOURS):
    """How two sets of embeddings `[clips, width]` cover each other, a clip's neighbourhood being the ball that reaches
    its `neighbours`-th nearest clip of the same set:

    - precision: share of the synthetic clips in the neighbourhood of some real clip;
    - recall: share of the real clips in the neighbourhood of some synthetic clip (both Kynkäänniemi et al. 2019, arXiv
      1904.06991, eq. 1 and 2);
    - density: in how many real neighbourhoods a synthetic clip lies, divided by `neighbours`; about 1 where the sets
      agree;
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


def _distances(one, other):
    return torch.cdist(one.double(), other.double(), compute_mode="donot_use_mm_for_euclid_dist")


def _radius(embeddings, neighbours):
    return _distances(embeddings, embeddings).kthvalue(neighbours + 1).values  # the nearest is the clip itself


def nearest_two(mels, clips, normalise, positions=POSITIONS):
    """How far each of `mels`, normalised `[n, 1, n_mels, frames]`, is from the nearest and from the second-nearest of
    `clips` (Clips): root mean square difference of a cell, in standard deviations of its band, `[n, 2]` on the CPU.

    Of each clip the closest of `positions` crops counts, evenly spread from its start to its end, so that a copy is
    found wherever it was cut; all crops at one position are compared by one matrix product.
    """
    queries, every = mels.flatten(1), torch.arange(len(clips), device=mels.device)
    closest = torch.full((len(queries), len(clips)), torch.inf, device=mels.device)
    for position in torch.linspace(0, 1, positions):
        crops = normalise(clips.crops(every, mels.shape[-1], position.item())).flatten(1)
        closest = closest.minimum(torch.cdist(queries, crops))
    return closest.topk(2, largest=False).values.cpu() / queries.shape[1] ** 0.5


def memorisation(near, held_out):
    """Whether clips are copies of training clips, from their distances to them and those of held-out real clips, as of
    `nearest_two`:

    - distance: the median distance to the nearest training clip;
    - ratio: the median ratio of that distance to that of the second-nearest. A copy has a low one; a blurred clip,
      which is about as near to many, has not;
    - copied: share of the clips with a ratio below the 1st percentile of held-out clips; about 0.01 without copies.
    """
    ratio, usual = (each[:, 0] / each[:, 1].clamp(min=1e-9) for each in (near, held_out))
    return {
        "distance": near[:, 0].median().item(),
        "ratio": ratio.median().item(),
        "copied": (ratio < usual.quantile(0.01)).double().mean().item(),
    }
