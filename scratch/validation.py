"""Refusals at the door: each names the argument, what came and what was expected."""

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scratch.traced import Traced

Array: TypeAlias = NDArray[np.floating[Any]]
"""A float32 or float64 array; the two precisions everything here computes in."""

Pair: TypeAlias = tuple[int, int]
"""(height, width), in pixels."""

FLOATING = (np.dtype(np.float32), np.dtype(np.float64))


def check_dtype(name: str, dtype: DTypeLike) -> np.dtype[np.floating[Any]]:
    """Return `dtype` as a NumPy dtype; raise `TypeError` unless it is float32 or float64."""
    try:
        # np.dtype(None) is float64: nobody asked for that.
        resolved: np.dtype[Any] | None = None if dtype is None else np.dtype(dtype)
    except TypeError:
        resolved = None
    if resolved is None or resolved not in FLOATING:  # np.dtype("float64") == None holds
        raise TypeError(f"{name} is {dtype if resolved is None else resolved}, expected float32 or float64")
    return resolved


def is_array(x: Any) -> TypeGuard[NDArray[Any]]:
    """Whether `x` is a plain array. Subclasses but `np.memmap` are not: a `*` of two `np.matrix` is another product."""
    return type(x) in (np.ndarray, np.memmap, Traced)


def check_mapping(name: str, value: Any) -> None:
    """Raise `TypeError` unless `value` maps names to something."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is a {type(value).__name__}, expected a mapping of names to arrays")


def check_array(name: str, x: Any, dtype: np.dtype[Any] | None = None) -> None:
    """Raise unless `x` is an array of `dtype` (None: of float32 or float64) with at least one axis."""
    if not is_array(x):
        raise TypeError(f"{name} is a {type(x).__name__}, expected a NumPy array")
    if x.ndim == 0:
        raise ValueError(f"{name} has shape (), expected at least one axis")
    advice = "nothing changes precision silently"
    if x.dtype.kind in "iub":
        to = dtype or FLOATING[0]
        advice = f"convert with {name}.astype(np.{to}), and scale pixels to the range the network is to see"
    if dtype is None and x.dtype not in FLOATING:
        raise TypeError(f"{name}.dtype is {x.dtype}, expected float32 or float64: {advice}")
    if dtype is not None and x.dtype != dtype:
        raise TypeError(f"{name} has dtype {x.dtype}, expected {dtype}: {advice}")


def check_shape(name: str, x: NDArray[Any], expected: tuple[int | str, ...]) -> None:
    """Raise `ValueError` unless `x` has the expected shape; a letter (such as "N") stands for any size."""
    if not fits(x.shape, expected):
        wanted = ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "")
        raise ValueError(f"{name} has shape {x.shape}, expected ({wanted})")


def fits(shape: Sequence[Any], expected: tuple[int | str, ...]) -> bool:
    """Whether a shape is as expected; a letter stands for any size."""
    if len(shape) != len(expected):
        return False
    # A loop, not all(): this runs for every tensor of every layer, and a generator costs more than the comparisons.
    for have, want in zip(shape, expected, strict=True):  # noqa: SIM110
        if have != want and not isinstance(want, str):
            return False
    return True


def check_like(name: str, x: Any, other: Array) -> None:
    """Raise unless `x` is an array of the shape and dtype of `other`: an upstream gradient beside its output."""
    if alike(x, other):
        return
    check_array(name, x, other.dtype)
    check_shape(name, x, other.shape)


def alike(x: Any, other: Array) -> bool:
    """Whether `x` is an array of the shape and dtype of `other`."""
    return type(x) is np.ndarray and x.shape == other.shape and x.dtype == other.dtype and x.ndim > 0


def check_count(name: str, value: Any, *, least: int = 1) -> int:
    """Return `value` if it is a whole number of at least `least`, else raise `TypeError` or `ValueError`."""
    if type(value) is int and value >= least:  # nearly always; what follows asks abstract classes, which takes longer
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} is {value!r}, expected an int")
    if value < least:
        raise ValueError(f"{name} is {value}, expected at least {least}")
    return int(value)


def check_sizes(sizes: Any) -> tuple[int, ...]:
    """Return n^0 … n^L as a tuple of at least two ints of at least 1, else raise `TypeError` or `ValueError`."""
    if not isinstance(sizes, Sequence) or isinstance(sizes, str):
        raise TypeError(f"sizes is {sizes!r}, expected a sequence of ints: inputs, units of each layer")
    checked = tuple(check_count(f"sizes[{i}]", size) for i, size in enumerate(sizes))
    if len(checked) < 2:
        raise ValueError(f"sizes is {checked}, expected at least two numbers: inputs and outputs")
    return checked


def check_pair(name: str, value: Any, *, least: int = 1) -> tuple[int, int]:
    """Return (height, width) from one whole number for both or a pair of them, each at least `least`; else raise."""
    pair = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value, value)
    if len(pair) != 2 or any(isinstance(v, bool) or not isinstance(v, numbers.Integral) for v in pair):
        raise TypeError(f"{name} is {value!r}, expected an int or a pair of them")
    if min(pair) < least:
        raise ValueError(f"{name} is {value!r}, expected at least {least}")
    return int(pair[0]), int(pair[1])


def check_table(name: str, value: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a copy of a boolean table (out_channels, in_channels) in which every output channel has a link."""
    if not is_array(value) and (isinstance(value, str) or not isinstance(value, Sequence)):
        raise TypeError(f"{name} is a {type(value).__name__}, expected a boolean NumPy array or rows of booleans")
    try:
        table = np.array(value)
    except ValueError:
        raise ValueError(f"{name} has rows of different lengths, expected the shape {shape}") from None
    if table.dtype != np.bool_:
        raise TypeError(f"{name} has dtype {table.dtype}, expected a table of booleans")
    check_shape(name, table, shape)
    if unlinked := np.flatnonzero(~table.any(axis=1)).tolist():
        raise ValueError(f"{name} has no link into the output channels {unlinked}, expected at least one into each")
    return table


def check_sample_shape(shape: Any, *, least: int = 1) -> tuple[int, ...]:
    """Return the shape of one sample as ints of at least `least`, else raise `TypeError` or `ValueError`."""
    if type(shape) is not tuple and (not isinstance(shape, Sequence) or isinstance(shape, str)):
        raise TypeError(f"input_shape is {shape!r}, expected the sizes of one sample, such as (1, 28, 28)")
    return tuple(check_count(f"input_shape[{i}]", size, least=least) for i, size in enumerate(shape))


def check_input_shape(shape: Any, expected: tuple[int | str, ...]) -> None:
    """Raise unless the shape of one sample is made of ints and as expected; a letter stands for any size."""
    check_sample_shape(shape)
    if not fits(shape, expected):
        wanted = ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "")
        raise ValueError(f"input_shape is {tuple(shape)}, expected ({wanted}), without the batch axis")


def check_number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
) -> float:
    """Return `value` if it is finite, greater than `above`, at least `least` and less than `below`; else raise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}, expected a number")
    try:
        number = float(value)
    except OverflowError:  # an int beyond double precision
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} is {value}, expected a finite number")
    if above is not None and not number > above:
        raise ValueError(f"{name} is {value}, expected a number greater than {above:g}")
    if least is not None and not number >= least:
        raise ValueError(f"{name} is {value}, expected a number of at least {least:g}")
    if below is not None and not number < below:
        raise ValueError(f"{name} is {value}, expected a number less than {below:g}")
    return number


def check_finite(name: str, x: NDArray[Any]) -> None:
    """Raise `ValueError` with how many entries of `x` are NaN or infinite, and where the first one stands."""
    strange = ~np.isfinite(x)
    if count := int(np.count_nonzero(strange)):
        first = tuple(np.argwhere(strange)[0].tolist())
        raise ValueError(
            f"{name} is not finite in {count} of {x.size} entries, the first {x[first]} at {first}, expected numbers"
        )


def check_generator(name: str, rng: Any) -> np.random.Generator:
    """Return `rng`, or for None a generator of fresh entropy; raise `TypeError` for anything else, a bare seed too."""
    if rng is None:
        return np.random.default_rng()
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"{name} is {rng!r}, expected a numpy.random.Generator, such as numpy.random.default_rng(0)")
    return rng


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
        if not is_array(value):
            faults.append(f"{name} is a {type(value).__name__}, expected a NumPy array")
        elif value.shape != array.shape:
            faults.append(f"{name} has shape {value.shape}, expected {array.shape}")
        elif value.dtype != array.dtype:
            faults.append(f"{name} has dtype {value.dtype}, expected {array.dtype}")
        elif not array.flags.writeable:
            faults.append(f"{name} is read-only here, expected an array to copy into")
    return faults
