"""Files and folders that are replaced as a whole or not at all."""

import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path


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
