"""What is wrong with one setting, if anything is: its type, and its range."""

import math
import re
import typing
from pathlib import Path
from typing import Any, Final, Literal

from experiments.errors import close_matches

#: Above these, only a slip of the finger is meant; beyond them NumPy or the system fails in ways of their own.
MOST_UNITS: Final = 1_000_000
MOST_THREADS: Final = 1024


def find_problem(name: str, value: Any, annotation: Any) -> str | None:
    """Say what is wrong with the type or the range of one setting.

    Parameters
    ----------
    name:
        Of the field.
    value:
        What came for it.
    annotation:
        The field's type, from `typing.get_type_hints`.

    Returns
    -------
    str or None
        What was expected and what came; None if the value is good.
    """
    got = f"got {value!r}"
    if typing.get_origin(annotation) is Literal:
        choices = typing.get_args(annotation)
        if value in choices:
            return None
        return f"expected one of {', '.join(choices)}; {got}{close_matches(str(value), choices)}"
    if annotation is int:
        return _whole_number_problem(name, value, got)
    if annotation is float:
        return _number_problem(name, value, got)
    if name == "hidden":
        return _hidden_problem(value, got)
    if name == "device":
        if isinstance(value, str) and re.fullmatch(r"cpu|cuda(:\d+)?", value):
            return None
        return f"expected cpu, cuda or cuda:N; {got}{close_matches(str(value), ('cpu', 'cuda'))}"
    return None if value is None or isinstance(value, Path) else f"expected the path of a folder, {got}"


def _whole_number_problem(name: str, value: Any, got: str) -> str | None:
    least = 0 if name in ("seed", "threads") else 1
    if not _is_whole(value):
        return f"expected a whole number, {got}"
    if name == "threads" and not 0 <= value <= MOST_THREADS:
        return f"expected a whole number from 0 (as it is) to {MOST_THREADS}, {got}"
    if not least <= value < 2**63:
        return f"expected a whole number of at least {least}{' and below 2^63' * (value > least)}, {got}"
    return None


def _number_problem(name: str, value: Any, got: str) -> str | None:
    if not (_is_whole(value) or isinstance(value, float)):
        return f"expected a number, {got}"
    if name == "lr" and not (math.isfinite(value) and value > 0):
        return f"expected a finite number greater than 0, {got}"
    if name in ("momentum", "dropout") and not 0 <= value < 1:
        return f"expected a number from 0 to below 1, {got}"
    if name == "weight_decay" and not (math.isfinite(value) and value >= 0):
        return f"expected a finite number of at least 0, {got}"
    return None


def _hidden_problem(value: Any, got: str) -> str | None:
    if not isinstance(value, tuple) or not all(isinstance(size, int) and size is not True for size in value):
        return f"expected whole numbers, such as 300,100; {got}"
    if not value or min(value) < 1:
        return f"expected at least one layer and at least 1 unit in each, such as 300,100; {got}"
    if max(value) > MOST_UNITS:
        return f"expected at most {MOST_UNITS:,} units in a layer; {got}"
    return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
