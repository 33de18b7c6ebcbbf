"""Catalogues that are made up, for tests that read no sound."""

import pandas as pd


def emodb(speakers, emotions):
    """A catalogue of EmoDB with four takes of each emotion by each of `speakers` speakers."""
    rows = [
        {
            "clip": f"emodb/{speaker}-{emotion}-{take}",
            "corpus": "emodb",
            "speaker": f"emodb-{speaker}",
            "sex": "male",
            "emotion": emotion,
            "text": "a",
            "sha256": f"{speaker}-{emotion}-{take}",
        }
        for speaker in range(speakers)
        for emotion in emotions
        for take in range(4)
    ]
    return pd.DataFrame(rows)
