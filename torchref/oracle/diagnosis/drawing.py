"""Mistakes in what is drawn: initial weights and masks."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.kinds.kind import Trial

Bound = Callable[[tuple[int, ...], Array], Array | float]
"""From the shape and the fan-in F of each row to the largest value of each row."""

BOUNDS: dict[str, tuple[str, Bound]] = {
    "init:scale half": ("the weights are half as large as they should be", lambda s, f: np.sqrt(3 / f) / 2),
    "init:scale double": ("the weights are twice as large as they should be", lambda s, f: 2 * np.sqrt(3 / f)),
    "init:scale std": ("the bound is 1/√F, which is the standard deviation, not √(3/F)", lambda s, f: 1 / np.sqrt(f)),
    "init:scale he": ("the bound is √(6/F), He's, not √(3/F)", lambda s, f: np.sqrt(6 / f)),
    "init:scale glorot": (
        "the bound is √(6/(F_in + F_out)), Glorot's, not √(3/F)",
        lambda s, f: np.sqrt(6 / (f + s[0] * math.prod(s[2:]))),
    ),
    "init:scale square": ("the bound is 3/F: the root is missing", lambda s, f: 3 / f),
    "init:scale out": ("the fan-out is taken for the fan-in", lambda s, f: np.sqrt(3 / (s[0] * math.prod(s[2:])))),
    "init:scale one": ("the bound is 1 whatever the fan-in", lambda s, f: np.ones_like(f)),
    "init:links": (
        "the fan-in counts all links, not those that the table has",
        lambda s, f: np.sqrt(3 / math.prod(s[1:])),
    ),
    "init:links size": (
        "the fan-in counts input channels only, not the filter's size",
        lambda s, f: np.sqrt(3 / s[1]),
    ),
}
"""By code: what is said of it, and the bound followed."""
TENSORS = ("weights", "seed", "mask", "biases")
"""What is judged of draws."""
CLOSE = 0.95
"""How near its bound the largest of hundreds of uniform numbers comes."""


def drawn(tensor: str, trials: Sequence[Trial]) -> tuple[str, str] | None:
    """Code and sentence of what fits every draw, of which some failed; None if nothing does."""
    failing = {c.fault for t in trials for c in t.failures if c.tensor == tensor}
    if tensor == "seed":
        return "init:seed", f"the numbers {'; '.join(sorted(failing))}: draw them all from the generator given"
    if tensor == "mask":
        return masks([(t.mine["mask"], float(t.case.config["p"])) for t in trials if "mask" in t.mine])
    if tensor != "weights":
        return None
    rows = [_rows(t) for t in trials if "weights" in t.mine]
    fans = [_fans(t) for t in trials if "weights" in t.mine]
    shapes = [t.mine["weights"].shape for t in trials if "weights" in t.mine]
    right = [np.sqrt(3 / f) for f in fans]
    if all((r >= 0).all() and _fills(r.max(1), b) for r, b in zip(rows, right, strict=True)):
        return "init:sign", "all weights are positive: they are drawn from [0, √(3/F)], not from ±√(3/F)"
    for code, (says, bound) in BOUNDS.items():
        bounds = [np.broadcast_to(bound(s, f), f.shape) for s, f in zip(shapes, fans, strict=True)]
        if all(_fills(r.max(1), b) and _fills(-r.min(1), b) for r, b in zip(rows, bounds, strict=True)):
            return code.split(" ")[0], says
    return None


def masks(pairs: Sequence[tuple[Array, float]]) -> tuple[str, str] | None:
    """Of masks with their p: units that fall together, or the wrong probability."""
    for axes, what in (
        (None, "the whole batch"),
        ((2, 3), "each map"),
        ((3,), "each row of a map"),
        ((-1,), "each row"),
    ):
        along = [(m, (0,) if axes is None else axes) for m, p in pairs if p and (axes is None or m.ndim > max(axes))]
        if along and all((m == np.take(m, [0], axis)).all() for m, over in along for axis in over):
            return "mask:shared", f"one draw serves {what}; each unit is to be drawn on its own"
    if any(p not in (0, 0.5) for _, p in pairs) and all(_near(m, p) for m, p in pairs):
        return "mask:inverted", "units are kept with probability p; p is the probability with which they are dropped"
    return None


def _near(mask: Array, probability: float) -> bool:
    """Whether so many units are kept as that probability leads to expect, within 5 standard deviations."""
    spread = math.sqrt(probability * (1 - probability) / mask.size)
    return abs(float(mask.mean()) - probability) <= 5 * spread


def _rows(trial: Trial) -> Array:
    weights = trial.mine["weights"].astype(np.float64)
    return weights.reshape(len(weights), -1)


def _fans(trial: Trial) -> Array:
    weights = trial.mine["weights"]
    return np.array(trial.case.config.get("fan_in", [weights[0].size] * len(weights)), float)


def _fills(reached: Array, bound: Array) -> bool:
    """Whether the largest of each row is within its bound and near it."""
    return bool((reached <= bound * (1 + 1e-6)).all() and (reached >= CLOSE * bound).all())
