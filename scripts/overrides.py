"""Overrides of params.yaml, as nested dicts."""

import argparse
from collections.abc import Iterator
from typing import Any

from ser.core import params
from ser.core.errors import InputError


def merged(values: Any, changes: Any) -> Any:
    """Return `values` with `changes` in place of what they name; lists and plain values are replaced as a whole."""
    if not (isinstance(values, dict) and isinstance(changes, dict)):
        return changes
    return values | {key: merged(values.get(key), change) for key, change in changes.items()}


def override(text: str) -> dict[str, Any]:
    """Return `a.b=value` as nested dicts, its value read as YAML."""
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: expected KEY=VALUE")
    try:
        change = params.parse(value, repr(text))
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    for part in reversed(key.split(".")):
        change = {part: change}
    return change


def flattened(changes: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield pairs of a dotted key and its value."""
    for key, value in changes.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
