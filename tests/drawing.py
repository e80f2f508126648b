"""How a generator drops units, of either wing: each on its own, with probability p, and all by that one generator."""

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from torchref.oracle.comparison import Comparison, Report

Masks = Mapping[str, np.ndarray]


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
