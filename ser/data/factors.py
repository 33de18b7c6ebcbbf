"""What is known of a clip besides its sound: emotion, intensity, speaker, corpus and sentence, as numbers.

Generators are conditioned on these factors.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

FACTORS = ("emotion", "intensity", "speaker", "corpus", "text")
UNKNOWN = 0  # the number of a factor that is not given


def number(catalogue: pd.DataFrame, clips: Sequence[str], class_names: Sequence[str]) -> Tensor:
    """The factors of clips of the catalogue, int64 `[clips, FACTORS]`, from 1.

    Emotions are numbered as in `class_names`, the others in alphabetical order of the values that these clips have.
    Sentences of different corpora are different ones.
    """
    table = catalogue.set_index("clip").loc[list(clips), list(FACTORS)]
    table["text"] = table["corpus"] + "/" + table["text"]
    values = {factor: sorted(table[factor].unique()) for factor in FACTORS} | {"emotion": list(class_names)}
    codes = [[1 + values[factor].index(value) for value in table[factor]] for factor in FACTORS]
    return torch.tensor(codes).T.contiguous()
