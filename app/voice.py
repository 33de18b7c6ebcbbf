"""Answers for several clips of one person, corrected for the model's bias for that voice."""

import numpy as np
import pandas as pd

from ser.evaluation.adaptation import FLOOR, STRENGTHS, mean_bias

FEWEST = 5  # other clips of the person, for a correction by half of the bias
FULL = 10  # other clips, for one by all of it


def adapted(probabilities: pd.DataFrame) -> pd.DataFrame:
    """The probabilities `[clips, classes]` of one person's clips, each corrected by all the others.

    This is the speaker-adapted protocol of the study (docs/evaluation.md) with the mean of the log-posteriors; half of
    the bias was better there with few clips.
    """
    log_posteriors = np.log(probabilities.to_numpy().clip(min=FLOOR))
    clips = len(log_posteriors)
    (bias,) = mean_bias(log_posteriors, 1 - np.eye(clips)[None])
    strength = STRENGTHS["full" if clips > FULL else "half"]
    corrected = np.exp(log_posteriors - strength * bias)
    return pd.DataFrame(corrected / corrected.sum(1, keepdims=True), probabilities.index, probabilities.columns)
