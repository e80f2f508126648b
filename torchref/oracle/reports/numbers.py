"""Numbers and arrays for files that know only finite ones."""

import math
from typing import Any

from torchref.oracle.comparison import Array


def number(value: float) -> float | str:
    """A number as JSON has it; what is not finite as a string: "NaN", "Infinity", "-Infinity"."""
    value = float(value)
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def real(array: Array) -> bool:
    """Whether an array holds real numbers or truth values, such as can be drawn."""
    return array.dtype.kind in "biuf"


def nested(array: Array) -> Any:
    """An array of real numbers as nested lists."""
    if array.ndim == 0:
        return number(array.item())
    return [nested(part) for part in array] if array.ndim > 1 else [number(value) for value in array.tolist()]
