"""Files and folders that are replaced as a whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path next to `path`: on success it takes the place of `path`, on failure it is removed.

    The caller creates a file or a folder under the temporary path. A folder replaces the earlier one as a whole. What
    a killed process left under the temporary path is removed by the next call.
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


def remove(path: Path) -> None:
    """Remove a file or a folder. Under its own name it exists as a whole or not at all, even if removal fails half-way.

    What is left under another name is removed by the next call.
    """
    doomed = path.with_name(f".{path.name}.old")
    _remove(doomed)
    with suppress(FileNotFoundError):
        os.replace(path, doomed)
    _remove(doomed)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
