"""Errors that people are meant to read."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, the quota, what a file may hold


class InputError(Exception):
    """Something given from outside (a file, a key, an environment variable) cannot be used.

    The message names it, says what was expected and what to do; stages print it and exit with status 1.
    """
