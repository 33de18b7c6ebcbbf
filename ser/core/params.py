"""Reading params.yaml: each stage asks for the keys that its entry in dvc.yaml names, and nothing else."""

import copy
import reprlib
import textwrap
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, overload

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.error import MarkedYAMLError

from ser.core.errors import InputError, hint

PATH = Path("params.yaml")
T = TypeVar("T")
SECTIONS = (
    "seed",
    "study",
    "corpora",
    "emotions",
    "audio",
    "mels",
    "split",
    "classifier",
    "training",
    "augmentation",
    "arms",
    "autoencoder",
    "generators",
    "enhancement",
    "sample_quality",
    "export",
)


class Config(BaseModel):
    """Base of all settings: immutable, no unknown keys, no silent conversion between types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def parse(text: str | bytes, name: object) -> Any:
    """Return the content of a YAML text, read as DVC reads and writes it: as YAML 1.2, in which 1e-05 is a number.

    Raises InputError where it is not valid YAML, has a key twice or a tag; the message starts with `name`.
    """
    try:
        return YAML(typ="safe").load(text)
    except (YAMLError, ValueError, TypeError, KeyError, RecursionError) as error:  # also of dates, tags, deep nesting
        raise InputError(f"{name} is not valid YAML: {_first_problem(error)}") from None


_parsed = lru_cache(maxsize=1)(parse)  # a stage reads params.yaml once per section


def load(path: Path = PATH) -> dict[str, Any]:
    """Return the whole of params.yaml as plain Python values."""
    try:
        values = copy.deepcopy(_parsed(Path(path).read_bytes(), path))
    except FileNotFoundError:
        raise InputError(f"{path} not found: run this from the root of the repository") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a mapping of sections, found {type(values).__name__}")
    for name in values:
        if name not in SECTIONS:
            raise InputError(f"{path}: {_unknown(name, SECTIONS)}")
    return values


@overload
def read(key: str, kind: type[T]) -> T: ...
@overload
def read(key: str, kind: Any) -> Any: ...
def read(key: str, kind: Any) -> Any:
    """Return the value at a dotted `key` of params.yaml, validated as `kind` (a Config or any annotated type).

    Raises InputError naming the key where it is missing, unknown or of the wrong type.
    """
    value: Any = load()
    for depth, name in enumerate(names := key.split("."), 1):
        if not isinstance(value, dict) or name not in value:
            raise InputError(f"{PATH}: key `{'.'.join(names[:depth])}` is missing")
        value = value[name]
    return check(value, kind, key)


@overload
def check(value: Any, kind: type[T], key: str = "") -> T: ...
@overload
def check(value: Any, kind: Any, key: str = "") -> Any: ...
def check(value: Any, kind: Any, key: str = "") -> Any:
    """Validate `value` as `kind`; every problem is named by its full dotted key."""
    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        problems = [_describe(problem, kind, key) for problem in error.errors()]
        raise InputError(f"{PATH}: " + "; ".join(problems)) from None


def _first_problem(error: Exception) -> str:
    text, place = str(error), ""
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        text, place = error.problem, f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}: "
    return place + textwrap.shorten(text, 200, placeholder="...")


def _describe(problem: ErrorDetails, kind: Any, key: str) -> str:
    path = ".".join(str(part) for part in (key, *problem["loc"]) if part != "")
    if problem["type"] == "extra_forbidden":
        return _unknown(path, _field_names(kind))
    if problem["type"] == "missing":
        return f"key `{path}` is missing"
    return f"key `{path}`: {problem['msg']}, found {reprlib.repr(problem['input'])}"


def _unknown(path: object, known: Iterable[str]) -> str:
    return f"unknown key `{path}`, {hint(str(path).rpartition('.')[2], [*known], 'see the comments in the file')}"


def _field_names(kind: Any) -> list[str]:
    schema = TypeAdapter(kind).json_schema()
    definitions = [schema, *schema.get("$defs", {}).values()]
    return [name for definition in definitions for name in definition.get("properties", {})]
