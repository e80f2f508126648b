"""What hard-limit units can compute of two bits: one unit, and two with a third behind them.

Two bits have 2⁴ = 16 functions. For each of them either the perceptron rule finds weights, which are then tried; or
numbers are found that prove that there are none (see `separate`). So nothing is left open, and "best" is meant
literally.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.optimize import nnls

from experiments.backend import Array
from experiments.lecture.lab import WINGS, Claim, Make, Wing, initial, squared_error, worst

CORNERS: Final = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
XOR: Final = (0, 1, 1, 0)
TARGET: Final = np.array(XOR, float)[:, None]
NAMES: Final[Mapping[tuple[int, ...], str]] = {
    (0, 0, 0, 0): "0",
    (0, 0, 0, 1): "x₁ AND x₂",
    (0, 0, 1, 0): "x₁ AND NOT x₂",
    (0, 0, 1, 1): "x₁",
    (0, 1, 0, 0): "NOT x₁ AND x₂",
    (0, 1, 0, 1): "x₂",
    XOR: "x₁ XOR x₂",
    (0, 1, 1, 1): "x₁ OR x₂",
}
"""The functions that are 0 at (0, 0), by their values at the corners; the others are their negations."""
HAND: Final = {
    "fc1.weight": np.array([[1.0, 1.0], [1.0, 1.0]]),
    "fc1.bias": np.array([-1.5, -0.5]),
    "fc2.weight": np.array([[-2.0, 1.0]]),
    "fc2.bias": np.array([-0.5]),
}
"""Haykin's weights: the first hidden unit is AND, the second OR, the output OR without AND."""


class Unit(NamedTuple):
    """A unit after the perceptron rule: (w₁, w₂, b), the corrections made, and its answers at the four corners."""

    weights: tuple[float, ...]
    corrections: int
    answers: tuple[int, ...]


class Function(NamedTuple):
    """One of the sixteen: its values, the units of both wings, the bound on corrections, whether it is refuted."""

    values: tuple[int, ...]
    units: Mapping[str, Unit]
    bound: float
    refuted: bool

    @property
    def name(self) -> str:
        """In words."""
        opposite = tuple(1 - value for value in self.values)
        return NAMES[self.values] if self.values in NAMES else f"NOT ({NAMES[opposite]})"

    @property
    def found(self) -> bool:
        """Whether the units of both wings compute it."""
        return all(unit.answers == self.values for unit in self.units.values())


class Hand(NamedTuple):
    """The hand-weighted net: its answers at the corners, and the points at which it does not follow the band."""

    answers: tuple[int, ...]
    strays: int


def measure_function(values: tuple[int, ...]) -> Function:
    """Let the perceptron rule look for a unit in each wing, and look for the proof that there is none."""
    margin, refuted = separate(values)
    # Novikoff: from W = 0 at most (R/γ)² corrections, R the longest (x, 1), γ the margin.
    bound = float("inf") if refuted else float((CORNERS**2).sum(axis=1).max() + 1) / margin**2
    return Function(values, {wing.name: perceptron(wing, values, limit=200) for wing in WINGS}, bound, refuted)


def separate(values: tuple[int, ...]) -> tuple[float, bool]:
    """Return the widest margin by which a unit separates the corners, and whether it is proved that none does.

    A unit is right at a corner if s·(w, b)·(x, 1) > 0, with s = ±1 for the answers 1 and 0. If non-negative numbers,
    not all 0, combine the four vectors s·(x, 1) to 0, no (w, b) can do that at all four: the same combination of
    positive numbers would be 0. Such numbers are looked for among whole ones, so their sum is exact. They exist if 0 is
    in the convex hull of the four; otherwise its distance from the hull is the margin γ of the best (w, b) of length 1.
    """
    signed = (2 * np.array(values)[:, None] - 1) * np.hstack([CORNERS, np.ones((4, 1))])
    shares = nnls(np.vstack([signed.T, np.ones(4)]), np.array([0.0, 0.0, 0.0, 1.0]))[0]
    whole = np.rint(shares / shares.max())
    return float(np.linalg.norm(shares @ signed) / shares.sum()), not (whole @ signed).any()


def perceptron(wing: Wing, values: tuple[int, ...], limit: int) -> Unit:
    """The perceptron rule from W = 0: at a wrong answer W ← W − (y − t)x, b ← b − (y − t), until a round has none.

    It is a step of the wing's own SGD, at rate 1, along δ = y − t: BP's δ without the f′, which is 0 here.
    """
    zero = {"fc1.weight": np.zeros((1, 2)), "fc1.bias": np.zeros(1)}
    learner = wing.learner(
        lambda w, d, rng: w.MLP((2, 1), (w.Threshold,), dtype=d, rng=rng), squared_error, zero, lr=1.0
    )
    corrections, before = 0, -1
    while before < corrections < limit:
        before = corrections
        for x, t in zip(CORNERS[:, None], values, strict=True):
            delta = learner.predict(x) - t
            if delta.any():
                learner.update({"fc1.weight": delta.T @ x, "fc1.bias": delta[0]})
                corrections += 1
    weights = np.concatenate([value.ravel() for value in learner.parameters().values()])
    return Unit(tuple(weights.tolist()), corrections, tuple(learner.predict(CORNERS)[:, 0].astype(int).tolist()))


def measure_hand(wing: Wing) -> Hand:
    """The hand-weighted net at the corners and over the plane, where it should be 1 for ½ ≤ x₁ + x₂ < 3/2."""
    x1, x2, output = plane(wing, hard_limits, HAND)
    band = (x1 + x2 >= 0.5) & (x1 + x2 < 1.5)
    answers = wing.learner(hard_limits, squared_error, HAND, lr=1.0).predict(CORNERS)[:, 0].astype(int)
    return Hand(tuple(answers.tolist()), int(np.count_nonzero(output != band)))


def measure_blocked(wing: Wing, seeds: Iterable[int]) -> float:
    """Largest |∂J/∂w| of weights below hard-limit units, over the seeds."""

    def make(w: ModuleType, d: Any, rng: Any) -> Any:
        return w.MLP((2, 2, 1), w.Threshold, dtype=d, rng=rng)

    steps = (
        wing.learner(make, squared_error, initial(make, seed), lr=1.0).gradients(CORNERS, TARGET) for seed in seeds
    )
    return worst(np.abs(step.grads["fc1.weight"]).max() for step in steps)


def plane(wing: Wing, make: Make, params: Mapping[str, Array]) -> tuple[Array, Array, Array]:
    """x₁, x₂ and the net's output, at 65² points of [−½, 3/2]²: whole multiples of 1/32, so that sums are exact."""
    axis = np.arange(-16, 49) / 32
    x1, x2 = np.meshgrid(axis, axis)
    output = wing.learner(make, squared_error, params, lr=1.0).predict(np.stack([x1, x2], axis=-1).reshape(-1, 2))
    return x1, x2, output.reshape(x1.shape)


def judge_units(functions: Sequence[Function]) -> list[Claim]:
    """What one unit can do: all sixteen functions are decided, and the nearest to XOR is at 3/4."""
    found = [f for f in functions if f.found]
    refuted = [f.name for f in functions if f.refuted]
    undecided = sum(f.found == f.refuted for f in functions)
    used = max((f.units[wing.name].corrections / f.bound for f in found for wing in WINGS), default=float("inf"))
    same = all(f.units["scratch"] == f.units["torch"] for f in functions)
    missing = {"x₁ AND x₂", "x₁ OR x₂", "NOT (x₁)"} - {f.name for f in found}
    nearest = max((sum(a == b for a, b in zip(f.values, XOR, strict=True)) for f in found), default=0)
    return [
        Claim(
            "AND, OR, NOT and whatever else one hard-limit unit can compute: the perceptron rule finds weights for it, "
            "in both wings the same, with at most Novikoff's (R/γ)² corrections.",
            f"{len(found)} functions found, {len(missing)} of the three missing; at most {used:.0%} of the bound used",
            not missing and same and used <= 1,
            {"found": len(found), "used": used, "same": same},
        ),
        Claim(
            "One unit computes exactly 14 of the 16 functions of two bits: for each either weights are found and "
            "tried, or whole numbers that prove there are none; the latter for XOR and its negation.",
            f"{len(found)} found, {len(refuted)} refuted ({', '.join(refuted)}), {undecided} undecided",
            len(found) == 14 and not undecided and refuted == ["x₁ XOR x₂", "NOT (x₁ XOR x₂)"],
            {"found": len(found), "refuted": len(refuted), "undecided": undecided},
        ),
        Claim(
            "The best that one unit can do for XOR is 3 corners of 4: no other function that it can compute is nearer.",
            f"{nearest} of 4, over the {len(found)} functions that one unit computes",
            nearest == 3 and not undecided,
            {"nearest": nearest},
        ),
    ]


def judge_hidden(hand: Mapping[str, Hand], blocked: Mapping[str, float]) -> list[Claim]:
    """Two hidden hard-limit units are enough, but BP cannot find them."""
    answers = ", ".join("".join(map(str, one.answers)) for one in hand.values())
    strays = sum(one.strays for one in hand.values())
    slope = worst(blocked.values())
    return [
        Claim(
            "Two hidden hard-limit units, AND and OR, are enough for XOR: the 2-2-1 net with weights by hand is right "
            "at all corners, and 1 exactly in the band ½ ≤ x₁ + x₂ < 3/2.",
            f"at 00 01 10 11: {answers} (scratch, torch); {strays} of 65² points do not follow the band",
            all(one.answers == XOR for one in hand.values()) and strays == 0,
            {"strays": strays},
        ),
        Claim(
            "BP cannot find such weights: a hard limit's derivative is 0, so the gradient of the weights below it is "
            "exactly 0, in every seed.",
            f"largest |∂J/∂w| {slope:g}",
            slope == 0,
            {"slope": slope},
        ),
    ]


def hard_limits(w: ModuleType, d: Any, rng: Any) -> Any:
    """2-2-1, with hard limits throughout."""
    return w.MLP((2, 2, 1), (w.Threshold, w.Threshold), dtype=d, rng=rng)
