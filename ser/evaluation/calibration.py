"""How far the probabilities of an arm can be trusted: calibration, and accuracy where unsure clips are rejected.

The confidence of a prediction is the probability of the predicted class. For the exported model, probabilities are
calibrated by a temperature, and answers below a threshold of confidence are called unsure.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

ERROR_BINS = 15  # as in Guo et al. 2017
CURVE_BINS = 10
TEMPERATURES = (0.1, 10.0)  # the range that is searched
KEPT = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)  # shares of the clips, the most confident ones


def describe(
    predictions: pd.DataFrame,  # from `read_predictions`
    class_names: Sequence[str],
) -> dict[str, Any]:
    """The calibration of an arm, plain values rounded to 6 decimals.

    - `ece`: the expected calibration error, the mean over runs;
    - `reliability`: the bins of `reliability` over the clips of all runs;
    - `rejection`: {"kept": share, "accuracy": accuracy of the most confident clips} for every share of KEPT, the mean
      over runs (risk-coverage curve: El-Yaniv & Wiener, JMLR 11, 2010).
    """
    confidence = predictions[list(class_names)].max(axis=1).to_numpy()
    correct = (predictions["predicted"] == predictions["emotion"]).to_numpy()
    runs = [(confidence[run], correct[run]) for run in predictions.groupby("run").indices.values()]
    accuracy = np.mean([accuracy_of_kept(*run) for run in runs], axis=0)
    return {
        "ece": round(float(np.mean([calibration_error(*run) for run in runs])), 6),
        "reliability": [
            {key: round(value, 6) for key, value in one.items()} for one in reliability(confidence, correct, CURVE_BINS)
        ],
        "rejection": [{"kept": kept, "accuracy": round(float(value), 6)} for kept, value in zip(KEPT, accuracy)],
    }


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int) -> list[dict[str, float]]:
    """The share of the clips, their mean confidence and their accuracy, for each bin of confidence that holds clips.

    `confidence` and `correct` are [clips]. Bins have equal widths and include their upper edge (Guo et al. 2017, arXiv
    1706.04599, section 2).
    """
    bin_of_clip = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence)
    members = [bin_of_clip == number for number in np.unique(bin_of_clip)]
    return [
        {
            "share": float(inside.mean()),
            "confidence": float(confidence[inside].mean()),
            "accuracy": float(correct[inside].mean()),
        }
        for inside in members
    ]


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """The expected calibration error: the mean gap between accuracy and confidence over bins (Guo et al. 2017, eq. 3).

    `confidence` and `correct` are [clips]; bins weigh as much as they hold clips.
    """
    bins = reliability(confidence, correct, ERROR_BINS)
    return sum(one["share"] * abs(one["accuracy"] - one["confidence"]) for one in bins)


def accuracy_of_kept(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """The accuracy of the most confident clips, for every share of KEPT; equal confidences count in the order given."""
    right = correct[np.argsort(-confidence, kind="stable")].cumsum()
    counts = np.maximum(1, np.rint(np.multiply(KEPT, len(right))).astype(int))
    return right[counts - 1] / counts


def temperature(
    log_probabilities: np.ndarray,  # [clips, classes], or logits
    labels: np.ndarray,  # [clips]
) -> float:
    """The temperature by which logits are divided to make the labels most likely (Guo et al. 2017, section 4.2)."""

    def surprise(log_temperature: float) -> float:
        scaled = log_softmax(log_probabilities / np.exp(log_temperature), axis=1)
        return -scaled[np.arange(len(labels)), labels].mean()

    return float(np.exp(minimize_scalar(surprise, bounds=np.log(TEMPERATURES), method="bounded").x))


def threshold(confidence: np.ndarray, correct: np.ndarray, accuracy: float) -> float:
    """The lowest confidence such that predictions with at least that much are right in a share `accuracy`.

    `confidence` and `correct` are [clips]. Where not even the most confident predictions are, it is 1.
    """
    order = np.argsort(-confidence, kind="stable")
    enough = np.flatnonzero(correct[order].cumsum() >= accuracy * np.arange(1, len(order) + 1))
    return float(confidence[order[enough[-1]]]) if len(enough) else 1.0
