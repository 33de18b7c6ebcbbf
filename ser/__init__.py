"""Speech emotion recognition: `from ser import Recogniser`."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "Recogniser":  # on demand: training needs no audio library
        from ser.recogniser import Recogniser

        return Recogniser
    raise AttributeError(name)
