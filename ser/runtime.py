"""How stages run: atomic writes, progress bars, clear failures."""

import errno
import os
import shutil
import sys
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from tqdm import tqdm

from ser.errors import InputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, the quota, what a file may hold
_doing = ContextVar("doing", default="")


@contextmanager
def replacing(path):
    """Yield a temporary path beside `path`; on success it takes the place of `path`, on failure it is removed.

    The caller creates a file or a folder under the temporary path. A folder replaces the earlier one as a whole. What
    a killed process left under the temporary path is removed by the next one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    _remove(temporary)
    try:
        yield temporary
        if temporary.is_dir():
            remove(path)
        os.replace(temporary, path)
    finally:
        _remove(temporary)


def remove(path):
    """Remove a file or a folder so that under its own name it is there whole or not at all, even if removal fails
    half-way; what is then left under another name goes with the next call."""
    doomed = path.with_name(f".{path.name}.old")
    _remove(doomed)
    with suppress(FileNotFoundError):
        os.replace(path, doomed)
    _remove(doomed)


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def doing(name):
    """Progress bars within begin with `name`."""
    before = _doing.set(name)
    try:
        yield
    finally:
        _doing.reset(before)


def progress(items=None, name="", unit="it", total=None):
    """A tqdm bar over `items` on stderr, quiet when stderr is not a terminal."""
    name = ", ".join(filter(None, [_doing.get(), name]))
    return tqdm(items, desc=name, unit=unit, total=total, disable=None, dynamic_ncols=True)


def stage(main, *arguments):
    """Run a stage's `main`; expected failures end the process with one readable line and status 1."""
    try:
        main(*arguments)
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in FULL:
            raise
        sys.exit(
            f"error: no space left on the disk while writing {error.filename or 'outputs'}; "
            "free some space and run the same command again, finished work is kept"
        )
    except MemoryError:
        sys.exit("error: out of memory; free some and run the same command again, finished work is kept")
