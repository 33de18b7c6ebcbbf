"""Which files of this repository a module runs, from its import statements."""

import ast
from collections.abc import Iterator
from pathlib import Path


def imported(*modules: str) -> set[Path]:
    """The files of `modules` and of everything of ours that they import, transitively, relative to the repository.

    The working folder is the root of the repository. Packages of others and empty `__init__.py` files are left out;
    modules that are chosen at run time (a backbone, a generator) have to be named by the caller.
    """
    found: set[Path] = set()
    queue = [path for path in map(_file, modules) if path]
    while queue:
        path = queue.pop()
        if path not in found:
            found.add(path)
            queue.extend(_imports(path))
    return found


def _imports(path: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from filter(None, map(_file, names))


def _file(module: str) -> Path | None:
    path = Path(*module.split(".")).with_suffix(".py")
    return path if path.is_file() else None
