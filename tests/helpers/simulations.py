"""Simulated studies whose truth is known: how often intervals contain it, and how often a test raises a false alarm."""

import numpy as np

from ser.evaluation.metrics import classification_metrics
from ser.evaluation.statistics import permutation_p, resample

RECALL = 0.6  # the truth: speakers differ in skill, as drawn from a beta distribution with this mean


def two_emotions(first, second, clips=20):
    """Confusion matrices [speakers, 2, 2] from the number of clips recognised of each emotion."""
    return np.stack([first, clips - first, clips - second, second], axis=1).reshape(-1, 2, 2)


def coverage(studies, rng, speakers=30):
    """Share of 95 % intervals over speakers that hold the true UA. Percentile intervals are known to run short."""
    covered = 0
    for _ in range(studies):
        right = rng.binomial(20, rng.beta(10 * RECALL, 10 - 10 * RECALL, size=(speakers, 2)))
        draws = resample(["emodb"] * speakers, 400, rng)
        ua = classification_metrics(np.tensordot(draws, two_emotions(right[:, 0], right[:, 1]), 1))["ua"]
        low, high = np.percentile(ua, [2.5, 97.5])
        covered += low <= RECALL <= high
    return covered / studies


def p_values(studies, rng, gain=0, speakers=16):
    """p [studies] of an arm that recognises `gain` of 20 clips more than the other."""
    p = []
    for _ in range(studies):
        one, other = rng.binomial(20, rng.beta(10 * RECALL, 10 - 10 * RECALL, size=(2, speakers)))
        one = np.minimum(20, one + gain)
        signs = rng.choice([-1, 1], size=(300, speakers))
        p.append(permutation_p(two_emotions(one, one), two_emotions(other, other), signs))
    return np.array(p)
