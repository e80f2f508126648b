"""Refusals at the door: each names the argument, what came and what was expected."""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array: TypeAlias = NDArray[np.floating[Any]]
"""A float32 or float64 array; the two precisions everything here computes in."""

FLOATING = (np.dtype(np.float32), np.dtype(np.float64))


def check_dtype(name: str, dtype: DTypeLike) -> np.dtype[np.floating[Any]]:
    """Return `dtype` as a NumPy dtype; raise `TypeError` unless it is float32 or float64."""
    resolved: np.dtype[Any] = np.dtype(dtype)
    if resolved not in FLOATING:
        raise TypeError(f"{name} is {resolved}, expected float32 or float64")
    return resolved


def check_array(name: str, x: Any, dtype: np.dtype[Any] | None = None) -> None:
    """Raise `TypeError` unless `x` is an array of `dtype` (None: of float32 or float64)."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{name} is a {type(x).__name__}, expected a NumPy array")
    if dtype is None:
        check_dtype(f"{name}.dtype", x.dtype)
    elif x.dtype != dtype:
        raise TypeError(f"{name} has dtype {x.dtype}, expected {dtype}: nothing changes precision silently")


def check_shape(name: str, x: NDArray[Any], expected: tuple[int | str, ...]) -> None:
    """Raise `ValueError` unless `x` has the expected shape; a letter (such as "N") stands for any size."""
    fits = x.ndim == len(expected) and all(
        isinstance(want, str) or have == want for have, want in zip(x.shape, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "")
        raise ValueError(f"{name} has shape {x.shape}, expected ({wanted})")


def check_like(name: str, x: Any, other: Array) -> None:
    """Raise unless `x` is an array of the shape and dtype of `other`: an upstream gradient beside its output."""
    check_array(name, x, other.dtype)
    check_shape(name, x, other.shape)


def check_count(name: str, value: Any) -> int:
    """Return `value` if it is a whole number of at least 1, else raise `TypeError` or `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {value!r}, expected an int")
    if value < 1:
        raise ValueError(f"{name} is {value}, expected at least 1")
    return int(value)


def check_number(name: str, value: Any, *, above: float | None = None, least: float | None = None) -> float:
    """Return `value` if it is a finite number, greater than `above` and at least `least`; else raise."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} is {value!r}, expected a number")
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}, expected a finite number")
    if above is not None and not value > above:
        raise ValueError(f"{name} is {value}, expected a number greater than {above:g}")
    if least is not None and not value >= least:
        raise ValueError(f"{name} is {value}, expected a number of at least {least:g}")
    return float(value)


def state_faults(state: Mapping[str, Any], own: Mapping[str, Array], *, strict: bool) -> list[str]:
    """Every reason why `state` does not fit the parameters `own`, one line each; empty if it fits."""
    faults = []
    if strict:
        faults += [f"missing {name} {array.shape}" for name, array in own.items() if name not in state]
        faults += [f"unexpected {name}" for name in state if name not in own]
    for name, array in own.items():
        if name not in state:
            continue
        value = state[name]
        if not isinstance(value, np.ndarray):
            faults.append(f"{name} is a {type(value).__name__}, expected a NumPy array")
        elif value.shape != array.shape:
            faults.append(f"{name} has shape {value.shape}, expected {array.shape}")
        elif value.dtype != array.dtype:
            faults.append(f"{name} has dtype {value.dtype}, expected {array.dtype}")
    return faults
