"""Late fusion of networks with a machine on fixed features."""

import numpy as np
import pandas as pd
import pytest

from scripts import fixed_features, fusion
from ser.data import splits
from tests.helpers import catalogues

EMOTIONS = ["anger", "fear", "neutral"]
SPLIT = splits.SplitConfig(protocol="speaker", file=None, folds=2, repeats=1, validation=0.3, training=1.0, seed=0)


def predictions(probabilities, repeats=(0,), runs=(0,)):
    """Predictions of clips `0`, `1`, ... with these probabilities, the same in every repeat and run."""
    table = pd.DataFrame(probabilities, columns=EMOTIONS)
    table = table.assign(clip=[str(number) for number in table.index], emotion="anger", fold=0)
    table = pd.concat([table.assign(repeat=repeat, run=run) for repeat in repeats for run in runs], ignore_index=True)
    return table.assign(predicted=table[EMOTIONS].idxmax(axis=1))


def test_the_machine_counts_half_as_much_as_the_network():
    networks = predictions([[0.5, 0.4, 0.1], [0.8, 0.1, 0.1]], runs=(0, 1))
    machines = predictions([[0.1, 0.8, 0.1], [0.3, 0.4, 0.3]])
    fused = fusion.fused(networks, machines, EMOTIONS)
    expected = np.array([0.5 * 0.1**0.5, 0.4 * 0.8**0.5, 0.1 * 0.1**0.5])
    np.testing.assert_allclose(fused.loc[0, EMOTIONS].astype(float), expected / expected.sum())
    assert fused["predicted"].tolist() == ["fear", "anger"] * 2
    assert fused[["repeat", "fold", "run", "clip", "emotion"]].equals(
        networks[["repeat", "fold", "run", "clip", "emotion"]]
    )


def test_clips_meet_their_own_machine_whatever_the_order():
    networks = predictions([[0.4, 0.3, 0.3]] * 3, repeats=(0, 1))
    machines = predictions([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]])
    other = machines.assign(repeat=1, anger=machines["neutral"], neutral=machines["anger"])
    shuffled = pd.concat([other, machines]).sample(frac=1, random_state=0)
    assert fusion.fused(networks, shuffled, EMOTIONS)["predicted"].tolist() == [*EMOTIONS, *EMOTIONS[::-1]]


def test_a_probability_of_zero_decides_nothing_by_itself():
    fused = fusion.fused(predictions([[1.0, 0.0, 0.0]]), predictions([[0.0, 1.0, 0.0]]), EMOTIONS)
    assert np.isfinite(fused[EMOTIONS].to_numpy()).all() and fused["predicted"].tolist() == ["anger"]


def test_machines_give_probabilities():
    table = catalogues.emodb(6, EMOTIONS)
    signal = table["emotion"].map(EMOTIONS.index).to_numpy()[:, None] + np.zeros(3)
    noise = np.random.default_rng(0).standard_normal(signal.shape)
    candidates = fusion.candidates(pd.DataFrame(5 * signal + noise, index=table["clip"]))
    predicted = fixed_features.predictions(candidates, table, SPLIT)
    assert predicted[EMOTIONS].sum(axis=1).to_numpy() == pytest.approx(1)
    assert (predicted["predicted"] == predicted["emotion"]).mean() > 0.95
