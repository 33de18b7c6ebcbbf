"""A catalogue and predictions of several arms that are made up, for tests of what is computed from them."""

from itertools import product

import numpy as np
import pandas as pd

EMOTIONS = ["anger", "fear", "neutral", "sadness"]


def fabricate(
    arms=("baseline", "augmented", "diffusion"),
    speakers=(("emodb", 6), ("ravdess", 8)),
    clips=12,
    repeats=1,
    runs=1,
    gain=0.0,
    seed=0,
):
    """Return a catalogue and the predictions of each arm, one more `gain` of skill for each arm in turn."""
    rng = np.random.default_rng(seed)
    catalogue = pd.DataFrame(
        [
            (
                f"{corpus}/{speaker:02d}-{clip:02d}",
                corpus,
                f"{corpus}-{speaker:02d}",
                ("female", "male")[speaker % 2],
                EMOTIONS[clip % 4],
                ("normal", "strong")[clip // 4 % 2],
            )
            for corpus, count in speakers
            for speaker in range(count)
            for clip in range(clips)
        ],
        columns=["clip", "corpus", "speaker", "sex", "emotion", "intensity"],
    )
    truth = catalogue["emotion"].map(EMOTIONS.index).to_numpy()
    predictions = {}
    for index, arm in enumerate(arms):
        tables = []
        for repeat, run in product(range(repeats), range(runs)):
            logits = rng.normal(size=(len(catalogue), len(EMOTIONS)))
            logits[np.arange(len(truth)), truth] += 1 + gain * index
            probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            table = pd.DataFrame(
                {
                    "repeat": repeat,
                    "fold": truth % 2,
                    "run": run,
                    "clip": catalogue["clip"],
                    "emotion": catalogue["emotion"],
                    "predicted": np.array(EMOTIONS)[probability.argmax(axis=1)],
                }
            )
            table[EMOTIONS] = probability
            tables.append(table)
        predictions[arm] = pd.concat(tables, ignore_index=True)
    return catalogue, predictions
