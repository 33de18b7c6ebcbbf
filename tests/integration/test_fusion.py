"""The machines on fixed features that networks are fused with."""

import numpy as np
import pandas as pd
import pytest

from scripts import fixed_features, fusion
from ser.data import splits
from tests.helpers import catalogues

EMOTIONS = ["anger", "fear", "neutral"]
SPLIT = splits.SplitConfig(protocol="speaker", file=None, folds=2, repeats=1, validation=0.3, training=1.0, seed=0)


def test_machines_give_probabilities():
    table = catalogues.emodb(6, EMOTIONS)
    signal = table["emotion"].map(EMOTIONS.index).to_numpy()[:, None] + np.zeros(3)
    noise = np.random.default_rng(0).standard_normal(signal.shape)
    candidates = fusion.candidates(pd.DataFrame(5 * signal + noise, index=table["clip"]))
    predicted = fixed_features.predictions(candidates, table, SPLIT)
    assert predicted[EMOTIONS].sum(axis=1).to_numpy() == pytest.approx(1)
    assert (predicted["predicted"] == predicted["emotion"]).mean() > 0.95
