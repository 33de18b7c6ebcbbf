"""What several test files and fixtures share."""

import os

EMOTIONS = ["anger", "neutral", "sadness"]  # of the toy catalogue
MORE = int(os.environ.get("SER_EXAMPLES", "1"))  # times as many random cases; see tests/stress/properties.py
