"""Measurements, each by a module of its own, and the document that shows them as tables between two marks."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ser.core.atomic import replacing

BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


def run(package: str, modules: Mapping[str, Sequence[str]], results: Path) -> list[str]:
    """Run `python -m PACKAGE.NAME --out RESULTS/NAME.json ARGUMENTS` for each of the `modules`, NAME: ARGUMENTS.

    Returns the names of those that failed.
    """
    failed = []
    for name, arguments in modules.items():
        print(f"{package}: {name}", flush=True)
        command = [sys.executable, "-m", f"{package}.{name}", "--out", results / f"{name}.json", *arguments]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    return failed


def as_json(result: Any) -> str:
    return json.dumps(result, indent=2, allow_nan=False) + "\n"


def write(path: Path, result: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(as_json(result), encoding="utf-8")


def show(document: Path, tables: str) -> None:
    """Put `tables` between the marks of `document`."""
    text = document.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    with replacing(document) as temporary:
        temporary.write_text(before + BEGIN + tables + END + after)


def table(header: str, rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; the columns after the first are aligned to the right."""
    columns = header.count("|") + 1
    lines = [header, "|".join(["---"] + ["--:"] * (columns - 1)), *(" | ".join(map(str, row)) for row in rows)]
    return "".join(f"| {line} |\n" for line in lines)
