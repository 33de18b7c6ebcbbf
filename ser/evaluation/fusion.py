"""Late fusion: what two recognisers say of the same clips, joined."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

LEAST = 1e-6  # probability


def fused(first: pd.DataFrame, second: pd.DataFrame, class_names: Sequence[str], weight: float = 1.0) -> pd.DataFrame:
    """The predictions `first`, with `weight` times the log probabilities of `second` added to theirs.

    Where `second` has as many runs as `first`, run meets run; where it has one, that meets all of them.
    """
    class_names = list(class_names)
    keys = ["repeat", "clip"] if second["run"].nunique() == 1 else ["repeat", "run", "clip"]
    other = second.set_index(keys)[class_names].loc[pd.MultiIndex.from_frame(first[keys])].to_numpy()
    log = np.log(first[class_names].clip(lower=LEAST).to_numpy()) + weight * np.log(other.clip(min=LEAST))
    joint = np.exp(log - log.max(1, keepdims=True))
    probabilities = pd.DataFrame(joint / joint.sum(1, keepdims=True), first.index, class_names)
    return first.assign(predicted=np.take(class_names, log.argmax(1)), **probabilities)
