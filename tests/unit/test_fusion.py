"""Late fusion of the predictions of two recognisers."""

import numpy as np
import pandas as pd

from ser.evaluation.fusion import fused

EMOTIONS = ["anger", "fear", "neutral"]


def predictions(probabilities, repeats=(0,), runs=(0,)):
    """Predictions of clips `0`, `1`, ... with these probabilities, the same in every repeat and run."""
    table = pd.DataFrame(probabilities, columns=EMOTIONS)
    table = table.assign(clip=[str(number) for number in table.index], emotion="anger", fold=0)
    table = pd.concat([table.assign(repeat=repeat, run=run) for repeat in repeats for run in runs], ignore_index=True)
    return table.assign(predicted=table[EMOTIONS].idxmax(axis=1))


def test_the_machine_counts_half_as_much_as_the_network():
    networks = predictions([[0.5, 0.4, 0.1], [0.8, 0.1, 0.1]], runs=(0, 1))
    machines = predictions([[0.1, 0.8, 0.1], [0.3, 0.4, 0.3]])
    joined = fused(networks, machines, EMOTIONS, 0.5)
    expected = np.array([0.5 * 0.1**0.5, 0.4 * 0.8**0.5, 0.1 * 0.1**0.5])
    np.testing.assert_allclose(joined.loc[0, EMOTIONS].astype(float), expected / expected.sum())
    assert joined["predicted"].tolist() == ["fear", "anger"] * 2
    assert joined[["repeat", "fold", "run", "clip", "emotion"]].equals(
        networks[["repeat", "fold", "run", "clip", "emotion"]]
    )


def test_clips_meet_their_own_machine_whatever_the_order():
    networks = predictions([[0.4, 0.3, 0.3]] * 3, repeats=(0, 1))
    machines = predictions([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]])
    other = machines.assign(repeat=1, anger=machines["neutral"], neutral=machines["anger"])
    shuffled = pd.concat([other, machines]).sample(frac=1, random_state=0)
    assert fused(networks, shuffled, EMOTIONS)["predicted"].tolist() == [*EMOTIONS, *EMOTIONS[::-1]]


def test_a_probability_of_zero_decides_nothing_by_itself():
    joined = fused(predictions([[1.0, 0.0, 0.0]]), predictions([[0.0, 1.0, 0.0]]), EMOTIONS)
    assert np.isfinite(joined[EMOTIONS].to_numpy()).all() and joined["predicted"].tolist() == ["anger"]


def test_run_meets_run_where_both_have_several():
    first = predictions([[0.4, 0.3, 0.3]], runs=(0, 1))
    second = pd.concat([predictions([[0.9, 0.05, 0.05]]), predictions([[0.05, 0.9, 0.05]], runs=(1,))])
    assert fused(first, second, EMOTIONS)["predicted"].tolist() == ["anger", "fear"]
