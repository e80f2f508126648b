"""The JSON that runs are recorded in: how values become JSON, and how what is read back is checked before use.

A run's folder may have been edited, cut off by a full disk, or mixed up with another's: what is wrong is said in a
sentence that names the file, by whichever command reads it first.
"""

import functools
import json
import math
import types
import typing
from pathlib import Path
from typing import Any, Final

import numpy as np

from experiments.errors import UserError

_hints: Final = functools.cache(typing.get_type_hints)
_PLAIN: Final[dict[Any, tuple[str, tuple[type, ...]]]] = {
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    str: ("a text", (str,)),
    type(None): ("null", (type(None),)),
}


def finite(value: Any) -> Any:
    """Return the value in JSON's types; NaN and infinity, which JSON has no word for, at any depth as None."""
    if isinstance(value, dict):
        return {str(key): finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def read_text(path: Path) -> str:
    """Read UTF-8 text; `UserError` if it is not."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is damaged: it is not UTF-8 text: {error}") from None


def parse(text: str | bytes, annotation: Any, place: str) -> Any:
    """Read a JSON value of a given form.

    Parameters
    ----------
    text:
        The JSON.
    annotation:
        A TypedDict (keys that it does not name are let through), list, dict, union, or plain type of JSON.
    place:
        The file, and the line if it has several values.

    Raises
    ------
    UserError
        If it is not JSON, or not of this form.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place} is damaged: it is not valid JSON: {error}") from None
    problem = _problem(value, annotation, "")
    if problem:
        raise UserError(f"{place} is damaged: {problem}")
    return value


def _problem(value: Any, annotation: Any, name: str) -> str | None:
    """Say where a value departs from a type, if it does."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    where = f"{name}: " * bool(name)
    if annotation is Any:
        return None
    if origin in (typing.Union, types.UnionType):
        problems = [_problem(value, part, name) for part in parts]
        return None if None in problems else problems[0]
    if typing.is_typeddict(annotation) or origin is dict:
        if not isinstance(value, dict):
            return f"{where}expected a JSON object, got {_short(value)}"
        if origin is dict:
            hints = dict.fromkeys(value, parts[1])
        else:
            missing = sorted(annotation.__required_keys__ - value.keys())
            if missing:
                return f"{where}{missing[0]!r} is missing"
            hints = {key: hint for key, hint in _hints(annotation).items() if key in value}
        found = (_problem(value[key], hint, f"{name}.{key}".lstrip(".")) for key, hint in hints.items())
        return next(filter(None, found), None)
    if origin is list:
        if not isinstance(value, list):
            return f"{where}expected a list, got {_short(value)}"
        found = (_problem(item, parts[0], f"{name}[{number}]") for number, item in enumerate(value))
        return next(filter(None, found), None)
    said, kinds = _PLAIN[annotation]
    fits = isinstance(value, kinds) and (annotation is bool or not isinstance(value, bool))
    return None if fits else f"{where}expected {said}, got {_short(value)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
