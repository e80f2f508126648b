"""What is drawn: masks, of which each unit is its own and all are one generator's, and weights up to their bounds."""

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from torchref.oracle.comparison import Array, Comparison, Report

Masks = Mapping[str, Array]


def check_drawn(
    title: str, draw: Callable[[Any], Masks], generator: Callable[[int], Any], p: Mapping[str, float], seed: int
) -> Report:
    """Judge masks by layer, as `draw` gets them out of a pass with a generator; `p` is what each layer drops.

    There should be hundreds of units to a mask: what is told apart here are shares and coincidences.
    """
    first, again, running = draw(generator(seed)), draw(generator(seed)), generator(seed)
    draw(running)
    later = draw(running)
    faults = {"masks are drawn for each layer": list(first) != list(p)}
    for name, mask in first.items():
        what = f"mask {name}".strip()
        spread = 5 * np.sqrt(p[name] * (1 - p[name]) / mask.size)
        faults[f"{what} keeps 1 − p of the units"] = abs(mask.mean() - (1 - p[name])) > spread
        faults[f"{what} is the seed's"] = not np.array_equal(mask, again[name])
        if p[name] == 0:
            continue
        faults[f"{what} is another each time"] = np.array_equal(mask, later[name])
        for axis in np.flatnonzero(np.array(mask.shape) > 1):
            faults[f"{what} differs along axis {axis}"] = bool((mask == mask.take([0], axis)).all())
    for one, other in combinations((name for name in first if p[name]), 2):
        # The same numbers would be dropped by both layers, or by the one with the larger p what the other drops too.
        length = min(first[one].size, first[other].size)
        a, b = first[one].ravel()[:length], first[other].ravel()[:length]
        faults[f"masks {one} and {other} are two"] = not (a & ~b).any() or not (b & ~a).any()
    return Report(title, tuple(Comparison(what, "5 form", np.inf if fault else 0.0) for what, fault in faults.items()))


def in_bounds(weights: Array, fan_in: Array) -> Array:
    """Weights (out, …) in units of their bound √(3/F), (out, F): from −1 to 1."""
    rows: Array = weights.reshape(len(weights), -1) / np.sqrt(3 / fan_in)[:, None]
    return rows


def reach(rows: Array) -> float:
    """How far weights in units of their bound get, in the row and on the side where they stay farthest from it."""
    return float(np.minimum(rows.max(axis=1), -rows.min(axis=1)).min())


def unevenness(rows: Array) -> float:
    """How far the share of weights below w is from (w + 1)/2 at most, in units of what 1 in 10⁹ draws exceeds.

    By the inequality of Dvoretzky, Kiefer, Wolfowitz and Massart, P(sup|F_n − F| > ε) ≤ 2·exp(−2nε²).
    """
    expected = (np.sort(rows.astype(np.float64).ravel()) + 1) / 2
    steps = np.arange(rows.size + 1) / rows.size
    distance = max(np.abs(expected - steps[:-1]).max(), np.abs(expected - steps[1:]).max())
    return float(distance / np.sqrt(np.log(2e9) / (2 * rows.size)))
