"""The files below a folder, without those that an operating system puts next to them."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from ser.core.errors import InputError


def walk(root: Path) -> Iterator[Path]:
    """Files below `root` in a fixed order; linked folders are followed, each folder is visited once.

    Hidden files and folders are left out, and so is __MACOSX: companions such as `._clip.wav` are not what their suffix
    says. Raises InputError for a folder that cannot be listed.
    """
    seen: set[str] = set()
    for folder, children, names in os.walk(root, onerror=_refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            children.clear()
            continue
        seen.add(real)
        children[:] = sorted(filter(_is_visible, children))
        paths = (Path(folder, name) for name in sorted(filter(_is_visible, names)))
        yield from (path for path in paths if path.is_file() or path.is_symlink())  # a broken link is for its reader


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: this folder cannot be listed ({error.strerror})")


def skipped(folder: Path, paths: Iterable[Path], accepted: Iterable[str]) -> list[str]:
    """A notice that counts the files `paths` of a folder that are not read, by their suffix; empty without any."""
    counts = Counter(path.suffix.lower() or path.name for path in paths)
    if not counts:
        return []
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    return [f"{folder}: skipped {kinds}; what is read are {' '.join(sorted(accepted))}"]
