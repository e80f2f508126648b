"""Inputs after each of the slide's three steps: how they lie, and in how many epochs a network learns from them."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from experiments.backend import Array
from experiments.lecture.lab import WINGS, Wing, worst

STAGES: Final = ("original", "centered", "decorrelated", "equalized")
"""The inputs as they are, and after each step of `Standardizer`."""


class Shape(NamedTuple):
    """How inputs lie: max|mean|, max|cov(xᵢ, xⱼ)| for i ≠ j, max|cov − I|, and λmax / λmin of cov and of H."""

    offset: float
    correlation: float
    from_identity: float
    spread: float
    condition: float


class Learnt(NamedTuple):
    """The learning rate, the epochs until the goal (infinite if never), and the loss after 0, 1, 2, … of them."""

    rate: float
    epochs: float
    losses: list[float]


class Trial(NamedTuple):
    """One seed: what was learnt by wing and stage, and how far the wings are apart.

    apart: max|x − x′| over the inputs; drift: max|J − J′| over the losses, in parts of the first.
    """

    learnt: Mapping[str, Mapping[str, Learnt]]
    apart: float
    drift: float


def stages(wing: Wing, x: Array) -> dict[str, Array]:
    """The inputs (N, D) after each step, as the wing's own `Standardizer` makes them."""
    found = {"original": x}
    for stage in STAGES[1:]:
        standardizer = wing.library.Standardizer(x.shape[1], stage, dtype=wing.dtype())
        found[stage] = wing.take(standardizer.fit(wing.give(x)).transform(wing.give(x)))
    return found


def shape(x: Array) -> Shape:
    """How the inputs (N, D) lie."""
    mean = x.mean(axis=0)
    covariance = (x - mean).T @ (x - mean) / len(x)
    identity = np.eye(x.shape[1])
    spectrum = curvatures(x)
    return Shape(
        float(np.abs(mean).max()),
        float(np.abs(covariance * (1 - identity)).max()),
        float(np.abs(covariance - identity).max()),
        spread(x, x.shape[1]),
        float(spectrum[-1] / spectrum[0]),
    )


def spread(x: Array, rank: int) -> float:
    """λmax / λmin of the covariance of inputs (N, D), in the directions of its `rank` largest eigenvalues.

    From the singular values of x − mean, whose squares they are: the covariance itself has lost half of the digits.
    """
    singular = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    return float((singular[0] / singular[rank - 1]) ** 2)


def curvatures(x: Array) -> Array:
    """Eigenvalues, ascending, of H = Σ (x, 1)(x, 1)ᵀ / N: of ½ the mean squared error of a linear unit with a bias."""
    with_one = np.column_stack([x, np.ones(len(x))])
    return np.linalg.svd(with_one, compute_uv=False)[::-1] ** 2 / len(x)


def trial(
    x: Array,
    learn: Callable[[Wing, Array, float], Iterator[float]],
    rate: Callable[[str, Array], float],
    goal: float,
    limit: int,
) -> Trial:
    """Learn from the inputs of each stage, in both wings, each at the rate that belongs to stage and inputs."""
    inputs = {wing.name: stages(wing, x) for wing in WINGS}
    learnt = {
        wing.name: {
            stage: until(learn(wing, one, rate(stage, one)), rate(stage, one), goal, limit)
            for stage, one in inputs[wing.name].items()
        }
        for wing in WINGS
    }
    ours, twin = inputs.values()
    return Trial(
        learnt,
        worst(float(np.abs(ours[stage] - twin[stage]).max()) for stage in STAGES),
        worst(drift(learnt["scratch"][stage].losses, learnt["torch"][stage].losses) for stage in STAGES),
    )


def until(losses: Iterator[float], rate: float, goal: float, limit: int) -> Learnt:
    """Learn until the loss is at most the goal, is no number any more, or has not come there in `limit` epochs."""
    seen = [next(losses)]
    while seen[-1] > goal and len(seen) <= limit:
        seen.append(next(losses))
    return Learnt(rate, len(seen) - 1 if seen[-1] <= goal else math.inf, seen)


def drift(ours: Sequence[float], twin: Sequence[float]) -> float:
    """Largest |J − J′| in parts of the first loss, for as long as ours fall; infinite where the other ends before.

    A rate that overshoots makes the loss rise and swing, and every rounding error grow with it: from there on two runs
    say nothing about each other.
    """
    falling = int(np.argmax([*(np.diff(ours) > 0), True])) + 1
    if not ours or len(twin) < falling:
        return math.inf
    return float(np.abs(np.subtract(ours[:falling], twin[:falling])).max() / ours[0])
