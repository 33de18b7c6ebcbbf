"""Folds in which half of the training voices are known in two emotions only: `python -m scripts.missing_emotions`.

It writes experiments/folds/missing_emotions.csv, which the experiment `missing_emotions` trains and tests on, from the
clips of data/catalogue.csv and the settings of params.yaml (`dvc repro catalogue` makes the former). Test clips are
those of the default run, fold by fold.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from ser.core import params
from ser.core.atomic import replacing
from ser.core.errors import InputError
from ser.core.stage import stage
from ser.data import manifest, splits

FILE = Path(splits.GIVEN, "missing_emotions.csv")
KEPT = 2  # emotions of a voice that is not known in all of them
SEED = 0  # of the voices, and of the emotions that each of them keeps


def main() -> None:
    """Write the folds."""
    catalogue = manifest.load("data/catalogue.csv")
    catalogue = catalogue[catalogue["emotion"].isin(params.read("emotions", list[manifest.Emotion]))]
    split = splits.make(catalogue, params.read("split", splits.SplitConfig))
    with replacing(FILE) as temporary:
        thinned(split, catalogue, np.random.default_rng(SEED)).to_csv(temporary, index=False)


def thinned(split: pd.DataFrame, catalogue: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return the rows `fold,role,clip` of a split, without those of the emotions that voices lose.

    In each fold, half of the training speakers of each corpus keep KEPT of their emotions. These are dealt in turn, so
    that all emotions are kept by about equally many of them. Raises InputError where the split has several repeats.
    """
    if split["repeat"].nunique() > 1:
        raise InputError("params.yaml: the file holds one division into folds; set `split.repeats` to 1")
    rows = split.merge(catalogue[["clip", "corpus", "speaker", "emotion"]], on="clip")
    kept = pd.Series(True, rows.index)
    for _, part in rows[rows["role"] == "train"].groupby(["fold", "corpus"]):
        speakers, emotions = (rng.permutation(sorted(part[column].unique())) for column in ("speaker", "emotion"))
        for number, speaker in enumerate(speakers[: len(speakers) // 2]):
            own = np.roll(emotions, -KEPT * number)[:KEPT]
            kept[part.index[(part["speaker"] == speaker) & ~part["emotion"].isin(own)]] = False
    return rows.loc[kept, ["fold", "role", "clip"]]


if __name__ == "__main__":
    stage(main)
