"""Speech emotion recognition: `from ser import Recogniser`."""

import os
from typing import Any

# Read by ONNX Runtime when it is imported: it writes no device id and no events to the home folder, and sends none.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    if name == "Recogniser":  # on demand: training needs no audio library
        from ser.recogniser import Recogniser

        return Recogniser
    raise AttributeError(name)
