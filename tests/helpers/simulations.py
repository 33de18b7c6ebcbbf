"""Simulated studies whose truth is known: how often intervals contain it, and how often a test raises a false alarm."""

import numpy as np

from ser.evaluation.resampling import draw_runs, estimate, p_value, resample, samples

RECALL = 0.6  # the truth of every arm
# Standard deviations of the recall around it: of a speaker in all arms; and in one arm of a speaker, and of a run on
# one speaker.
SPEAKER, SPEAKER_IN_ARM, INTERACTION = 0.1, 0.05, 0.08
RUN = 0.02  # of a run on all speakers; as much of the variance of a difference as the speakers', with five runs
CLIPS = 20  # of each of two emotions, by each speaker
CORPORA = ["emodb"] * 10 + ["ravdess"] * 24
RESAMPLES = 400


def simulate(studies, rng, runs=5, run_sd=RUN, gain=0.0):
    """What becomes of a comparison of two arms, the second of which has more recall by `gain`.

    Returns the share of 95 % intervals that hold the true UA of the first arm (`coverage`) and the true difference
    (`coverage of differences`), and the share of differences with p <= 0.05 (`found`).
    """
    covered, difference_covered, found = 0, 0, 0
    for _ in range(studies):
        draws = resample(CORPORA, RESAMPLES, rng)
        run_draws = draw_runs(runs, RESAMPLES, rng)
        one, other = (samples(counts, draws)["ua"] for counts in _arms(rng, runs, run_sd, gain))
        covered += _holds(estimate(one, run_draws), RECALL)
        difference_covered += _holds(estimate(other - one, run_draws, lowest=-1), gain)
        found += p_value(other - one, len(CORPORA) - len(set(CORPORA))) <= 0.05
    return {
        "coverage": covered / studies,
        "coverage of differences": difference_covered / studies,
        "found": found / studies,
    }


def _arms(rng, runs, run_sd, gain):
    """The confusion matrices of two arms, [2, runs, speakers, 2, 2]."""
    speakers = len(CORPORA)
    recall = RECALL + np.reshape([0, gain], (2, 1, 1))
    recall = recall + rng.normal(0, SPEAKER, speakers) + rng.normal(0, SPEAKER_IN_ARM, (2, 1, speakers))
    recall = recall + rng.normal(0, run_sd, (2, runs, 1)) + rng.normal(0, INTERACTION, (2, runs, speakers))
    first, second = rng.binomial(CLIPS, recall.clip(0, 1), (2, *recall.shape))
    return np.stack([first, CLIPS - first, CLIPS - second, second], axis=-1).reshape(*recall.shape, 2, 2)


def _holds(interval, truth):
    return interval["low"] <= truth <= interval["high"]
