"""How stages run: progress bars and clear failures."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ser.core import preconditions
from ser.core.errors import FULL, InputError

_doing = ContextVar("doing", default="")
_row: ContextVar[int | None] = ContextVar("row", default=None)


@contextmanager
def doing(name: str) -> Iterator[None]:
    """Start the titles of progress bars with `name`."""
    before = _doing.set(name)
    try:
        yield
    finally:
        _doing.reset(before)


def draw_bars_at(row: int) -> None:
    """Draw the bars of this process so many lines further down; it is one of several that share a terminal."""
    _row.set(row)


def progress(items: Iterable | None = None, name: str = "", unit: str = "it", total: int | None = None) -> tqdm:
    """A tqdm bar over `items` on stderr, quiet when stderr is not a terminal."""
    title = ", ".join(filter(None, [_doing.get(), name]))
    row = _row.get()
    return tqdm(
        items,
        desc=title,
        unit=unit,
        total=total,
        disable=None,
        dynamic_ncols=True,
        position=row,
        leave=row is None,
    )


def stage(main: Callable[..., None], *arguments: Any) -> None:
    """Run a stage's `main`; expected failures end the process with one readable line and status 1."""
    try:
        preconditions.check_copy(Path.cwd())
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
