"""Errors that people are meant to read."""

import difflib
import errno
from collections.abc import Sequence

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, the quota, what a file may hold


class InputError(Exception):
    """Something given from outside (a file, a key, an environment variable) cannot be used.

    The message names it, says what was expected and what to do; stages print it and exit with status 1.
    """


def hint(name: str, known: Sequence[str], otherwise: str | None = None) -> str:
    """The known name that is most like `name`, as a question; `otherwise`, by default all of them, where none is."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean `{close[0]}`?" if close else otherwise or f"known are {', '.join(known)}"
