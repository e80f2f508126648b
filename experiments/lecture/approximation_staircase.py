"""The targets, and a network for each that needs no training: a staircase, with one unit per step.

A ridge function is g(d·x), a function of one number u = d·x that runs from `low` to `high` over the unit cube. Cut that
range, of length T, into m pieces, and let the staircase have g's value at the middle of the piece that u is in. No u is
further than T/2m from the middle of its piece, so if |g(u) − g(v)| ≤ ℓ|u − v|, the staircase is within ℓT/2m of g.
Each step is one unit: F(x) = Σ αᵢ φ(d·x − cᵢ), with the hard limit for φ, cᵢ where a piece begins and αᵢ the step.

For one input, d = 1 and T = 1: sup |F − f| ≤ ℓ/2H with H units. A bump in two dimensions is a sum of four ridges, as
every smooth function is nearly one (its Fourier series): with H/4 units each, sup |F − f| ≤ 4·Σ ℓT/2H.
"""

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np

from experiments.backend import Array
from experiments.lecture.lab import Claim, Wing, squared_error, worst

STEEP: Final = 400.0
"""Slope of a logistic unit that stands for a hard limit, in units of 1/(width of a step).

At a twentieth of that width from its own step, such a unit is within e⁻²⁰ of 0 or 1. So a staircase of them is between
two neighbouring levels where it is on its way up, at most 1/20 of a width from either's piece: it keeps 1.1 times the
bound, but for e⁻²⁰·Σ|αᵢ|.
"""


class Ridge(NamedTuple):
    """g(d·x): the direction d, the range of u = d·x over the cube, g, and its Lipschitz constant ℓ."""

    direction: tuple[float, ...]
    low: float
    high: float
    g: Callable[[Array], Array]
    lipschitz: float

    @property
    def rise(self) -> float:
        """ℓT: the most that g can change over its range."""
        return self.lipschitz * (self.high - self.low)


TARGETS: Final[Mapping[str, tuple[Ridge, ...]]] = {
    "sin 2πx": (Ridge((1.0,), 0.0, 1.0, lambda u: np.sin(2 * np.pi * u), 2 * np.pi),),
    "|2x − 1|": (Ridge((1.0,), 0.0, 1.0, lambda u: np.abs(2 * u - 1), 2.0),),
    "bump": (
        Ridge((1.0, 0.0), 0.0, 1.0, lambda u: (1 - np.cos(2 * np.pi * u)) / 4, np.pi / 2),
        Ridge((0.0, 1.0), 0.0, 1.0, lambda u: -np.cos(2 * np.pi * u) / 4, np.pi / 2),
        Ridge((1.0, 1.0), 0.0, 2.0, lambda u: np.cos(2 * np.pi * u) / 8, np.pi / 4),
        Ridge((1.0, -1.0), -1.0, 1.0, lambda u: np.cos(2 * np.pi * u) / 8, np.pi / 4),
    ),
}
"""The continuous ones, as sums of ridges. The bump is sin²(πx₁)·sin²(πx₂): 1 in the middle, 0 all around."""


class Built(NamedTuple):
    """What was built instead of trained, per wing.

    Parameters
    ----------
    stairs:
        (target, units) → sup error of the staircase of hard limits.
    steep:
        (target, ε) → sup error of the steep logistic units that are enough for ε.
    steps:
        Slope of a single logistic unit in place of the step → its sup and mean error; infinite for the hard limit.
    """

    stairs: Mapping[tuple[str, int], float]
    steep: Mapping[tuple[str, float], float]
    steps: Mapping[float, tuple[float, float]]


def value(name: str, x: Array) -> Array:
    """The target at points x, (N, m₀) -> (N, 1); "step" is 1 for x ≥ ½, else 0."""
    if name == "step":
        return np.where(x >= 0.5, 1.0, 0.0)
    total: Array = sum((r.g(x @ np.array(r.direction)) for r in TARGETS[name]), np.zeros(len(x)))
    return total[:, None]


def inputs(name: str) -> int:
    """m₀: how many numbers the target is a function of."""
    return len(TARGETS[name][0].direction) if name in TARGETS else 1


def cube(name: str, points: int) -> Array:
    """A grid of points along each side of the unit cube, (points^m₀, m₀)."""
    axes = np.meshgrid(*(np.linspace(0, 1, points),) * inputs(name), indexing="ij")
    return np.stack([axis.ravel() for axis in axes], axis=1)


def bound(name: str, units: int) -> float:
    """What a staircase of hard limits is within: Σ ℓT/2m over the ridges, which share the units equally."""
    ridges = TARGETS[name]
    return sum(ridge.rise for ridge in ridges) * len(ridges) / (2 * units)


def logistic_bound(name: str, units: int) -> float:
    """What a staircase of steep logistic units is within; see `STEEP`."""
    size = np.abs(staircase(name, units)["fc2.weight"]).sum()
    return 1.1 * bound(name, units) + float(np.exp(-20.0) * size)


def units_for(name: str, epsilon: float) -> int:
    """How many steep logistic units are enough for sup |F − f| < ε: as many for each ridge."""
    ridges = len(TARGETS[name])
    return ridges * int(np.floor(1.1 * bound(name, ridges) / epsilon + 1))


def staircase(name: str, units: int, steep: float = 1.0) -> dict[str, Array]:
    """Parameters of an MLP (m₀, units, 1) that is the staircase.

    Parameters
    ----------
    name:
        Of the target.
    units:
        A multiple of the number of its ridges.
    steep:
        By what the hidden weights and biases are multiplied, in units of 1/(width of a step): `STEEP` for logistic
        units. To hard limits it is all one.
    """
    ridges = TARGETS[name]
    count = units // len(ridges)
    if count * len(ridges) != units or not count:
        raise ValueError(f"{units} units, expected a multiple of {len(ridges)}: as many for each ridge of {name}")
    weights, biases, steps = [], [], []
    for ridge in ridges:
        width = (ridge.high - ridge.low) / count
        begins = ridge.low + width * np.arange(count)
        levels = ridge.g(begins + width / 2)
        begins[0] -= width  # the first is the ground that the others stand on: it is 1 all over the cube
        weights.append(np.tile(steep / width * np.array(ridge.direction), (count, 1)))
        biases.append(-steep / width * begins)
        steps.append(np.diff(levels, prepend=0.0))
    return {
        "fc1.weight": np.concatenate(weights),
        "fc1.bias": np.concatenate(biases),
        "fc2.weight": np.concatenate(steps)[None],
        "fc2.bias": np.zeros(1),
    }


def build(
    wing: Wing, counts: Sequence[int], epsilons: Sequence[float], slopes: Sequence[float], sides: tuple[int, int]
) -> Built:
    """Measure all that is written down and not learnt.

    Parameters
    ----------
    wing:
        Whose network computes it.
    counts:
        Numbers of units of the staircases of hard limits.
    epsilons:
        For each, as many logistic units are taken as are enough for it.
    slopes:
        Of single logistic units that stand for the step.
    sides:
        See `points`.
    """
    stairs = {
        (name, h): sup_error(wing, "Threshold", name, staircase(name, h), sides) for name in TARGETS for h in counts
    }
    steep = {
        (name, e): sup_error(wing, "Logistic", name, staircase(name, units_for(name, e), STEEP), sides)
        for name in TARGETS
        for e in epsilons
    }
    return Built(stairs, steep, {slope: step_errors(wing, slope, sides) for slope in (*slopes, float("inf"))})


def sup_error(wing: Wing, activation: str, name: str, params: Mapping[str, Array], sides: tuple[int, int]) -> float:
    """Largest |F − f| over the grid, of a net with these parameters."""
    x = points(name, sides)
    return float(np.abs(output(wing, activation, params, x) - value(name, x)).max())


def step_errors(wing: Wing, slope: float, sides: tuple[int, int]) -> tuple[float, float]:
    """Sup and mean error of one unit φ(slope·(x − ½)) as a step; the hard limit if the slope is infinite."""
    activation, weight = ("Threshold", 1.0) if slope == float("inf") else ("Logistic", slope)
    params = {
        "fc1.weight": np.array([[weight]]),
        "fc1.bias": np.array([-weight / 2]),
        "fc2.weight": np.ones((1, 1)),
        "fc2.bias": np.zeros(1),
    }
    x = points("step", sides)
    error = np.abs(output(wing, activation, params, x) - value("step", x))
    return float(error.max()), float(error.mean())


def output(wing: Wing, activation: str, params: Mapping[str, Array], x: Array) -> Array:
    """F at the points x, of a net with these parameters."""
    units, width = params["fc1.weight"].shape

    def make(w: ModuleType, d: Any, rng: Any) -> Any:
        return w.MLP((width, units, 1), getattr(w, activation), dtype=d, rng=rng)

    return wing.learner(make, squared_error, params, lr=1.0).predict(x)


def points(name: str, sides: tuple[int, int]) -> Array:
    """The grid over the cube, of so many points per side in one and in two dimensions."""
    x = cube(name, sides[inputs(name) - 1])
    # Where a step's limit from the left is looked for: the largest number below its jump.
    return np.sort(np.vstack([x, [[np.nextafter(0.5, 0)]]]), axis=0) if name == "step" else x


def judge_built(built: Mapping[str, Built]) -> list[Claim]:
    """What is proved of the staircases."""
    used = worst(error / bound(*key) for one in built.values() for key, error in one.stairs.items())
    counts = sorted({units for one in built.values() for _, units in one.stairs})
    slopes = {
        f"{name} {wing}": float(np.polyfit(np.log(counts), np.log([one.stairs[name, h] for h in counts]), 1)[0])
        for wing, one in built.items()
        for name in TARGETS
        if inputs(name) == 1
    }
    reached = worst(error / e for one in built.values() for (_, e), error in one.steep.items())
    epsilons = sorted({epsilon for one in built.values() for _, epsilon in one.steep}, reverse=True)
    smallest = epsilons[-1]
    needed = ", ".join(f"{name} {units_for(name, smallest)}" for name in TARGETS)
    return [
        Claim(
            "A staircase of H hard limits is within L/2H of a function of one number with Lipschitz constant L, and "
            f"within 4π/H of the bump, at each of {len(counts)} numbers of units.",
            f"largest share of the bound {used:.6f}, over {len(TARGETS)} functions and both wings",
            used <= 1 + 1e-9,
            {"used": used},
        ),
        Claim(
            f"That order is right: from {counts[0]} to {counts[-1]} units the error of the sine and of |2x − 1| falls "
            "as 1/H, with slope −1 ± 0.05 in the log-log chart.",
            "slopes: " + ", ".join(f"{key} {slope:.3f}" for key, slope in slopes.items()),
            all(abs(slope + 1) <= 0.05 for slope in slopes.values()),
            slopes,
        ),
        Claim(
            "The theorem: for every ε there are enough units, of a continuous φ. Steep logistic units in a staircase, "
            f"as many as its bound asks for (1.1·L/2ε), come within ε = {', '.join(map(str, epsilons))}.",
            f"largest error/ε {reached:.3f}; units for ε = {smallest}: {needed}",
            reached < 1,
            {"reached": reached},
        ),
    ]
