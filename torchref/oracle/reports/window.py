"""What of a pair of arrays is drawn: all of it, or a window around the worst element."""

import math
from typing import Any

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.reports.numbers import number, real
from torchref.oracle.verdict import Picture

SIDE = 64
"""Largest window on the last two axes."""
ENTRIES = 8192
"""Largest window over all axes."""
MATERIAL = 1e-6
"""An entry differs visibly from here on, as a share of the largest difference."""


def views(picture: Picture) -> list[dict[str, Any]]:
    """The groups of maps that share their indices: mine, oracle and difference; or each alone if the shapes differ."""
    oracle, mine = np.asarray(picture.oracle), picture.mine
    if not real(oracle):
        return []
    if mine is None or not real(mine):
        return [_view({"oracle": oracle}, picture)]
    if mine.shape != oracle.shape:
        return [_view({"mine": mine}, picture), _view({"oracle": oracle}, picture)]
    return [_view({"mine": mine, "oracle": oracle, "difference": difference(mine, oracle)}, picture)]


def difference(mine: Array, oracle: Array) -> Array:
    """Mine minus the oracle's in float64; 0 where both are the same infinity or NaN."""
    a, t = mine.astype(np.float64), oracle.astype(np.float64)
    same = (a == t) | (np.isnan(a) & np.isnan(t))
    with np.errstate(invalid="ignore"):
        return np.where(same, 0.0, a - t)


def extent(array: Array) -> float:
    """The largest finite absolute value; 0 if there is none."""
    wide = np.abs(array.astype(np.float64))
    return float(np.max(wide, where=np.isfinite(wide), initial=0.0))


def summary(picture: Picture) -> str:
    """What the maps show, in a sentence."""
    oracle, mine = np.asarray(picture.oracle), picture.mine
    size = sized(oracle)
    if mine is None:
        return f"Nothing came; the oracle's is {size}."
    if mine.shape != oracle.shape:
        return f"Mine is {sized(mine)}, the oracle's {size}."
    if not (real(mine) and real(oracle)):
        return f"Mine holds {mine.dtype}, the oracle's {oracle.dtype}: only real numbers can be drawn."
    apart = difference(mine, oracle)
    material = ~(np.abs(apart) <= MATERIAL * extent(apart))
    far = f"by up to {extent(apart):.3g}" if extent(apart) else "in sign, NaN or infinity"
    spread = f"{int(material.sum())} of {oracle.size} entries differ visibly, {far}"
    return f"{size[0].upper()}{size[1:]}: {spread}; the oracle's reach {extent(oracle):.3g}."


def sized(array: Array) -> str:
    """The shape in words."""
    return f"an array of {' × '.join(map(str, array.shape))}" if array.ndim else "a single number"


def worst(picture: Picture) -> tuple[int, ...]:
    """The worst element by the verdict; else the one that differs most; else the first."""
    if picture.at is not None:
        return picture.at
    oracle, mine = np.asarray(picture.oracle), picture.mine
    if mine is None or mine.shape != oracle.shape or not real(mine) or oracle.size == 0:
        return (0,) * oracle.ndim
    apart = np.nan_to_num(np.abs(difference(mine, oracle)), nan=np.inf)
    return tuple(int(i) for i in np.unravel_index(int(apart.argmax()), apart.shape))


def window(shape: tuple[int, ...], at: tuple[int, ...]) -> tuple[slice, ...]:
    """At most 64 × 64 of the last two axes and `ENTRIES` over all, around the index `at`."""
    lengths = [*shape[:-2], *(min(length, SIDE) for length in shape[-2:])]
    while math.prod(lengths) > ENTRIES:
        longest = max(range(len(shape) - 2), key=lengths.__getitem__)
        lengths[longest] = (lengths[longest] + 1) // 2
    starts = [min(max(i - n // 2, 0), full - n) for i, n, full in zip(at, lengths, shape, strict=True)]
    return tuple(slice(start, start + n) for start, n in zip(starts, lengths, strict=True))


def _view(arrays: dict[str, Array], picture: Picture) -> dict[str, Any]:
    shape = next(iter(arrays.values())).shape
    at = worst(picture)
    at = at if len(at) == len(shape) else (0,) * len(shape)
    at = tuple(max(0, min(i, n - 1)) for i, n in zip(at, shape, strict=True))
    cut = window(shape, at)
    parts = {name: array[cut] for name, array in arrays.items()}
    values = max(extent(parts[name]) for name in parts if name != "difference")
    if "mine" in parts and "oracle" in parts and extent(parts["oracle"]) > 0:
        values = min(values, 4 * extent(parts["oracle"]))  # a wild result must not flatten the oracle's
    return {
        "shape": [s.stop - s.start for s in cut],
        "start": [s.start for s in cut],
        "full": list(shape),
        "axes": list(picture.axes) if len(picture.axes) == len(shape) else [],
        "because": "largest difference" if picture.at is None else "farthest beyond its bound",
        "at": [i - s.start for i, s in zip(at, cut, strict=True)],
        "cut": any(s.stop - s.start < n for s, n in zip(cut, shape, strict=True)),
        "maps": [
            {
                "name": name,
                "scale": extent(part) if name == "difference" else values,
                "values": [short(value, 6 if name == "difference" else 9) for value in part.ravel().tolist()],
            }
            for name, part in parts.items()
        ],
    }


def short(value: float, digits: int) -> float | str:
    """A number with so many digits, as JSON has it."""
    found = number(value)
    return found if isinstance(found, str) else float(f"{found:.{digits}g}")
