"""Inputs after each of the slide's three steps: how they lie, and in how many epochs a network learns from them."""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from experiments.backend import Array
from experiments.lecture.lab import WINGS, Wing

STAGES: Final = ("original", "centered", "decorrelated", "equalized")
"""The inputs as they are, and after each step of `Standardizer`."""


class Shape(NamedTuple):
    """How inputs lie: max|mean|, max|cov(xᵢ, xⱼ)| for i ≠ j, max|cov − I|, and λmax / λmin of H."""

    offset: float
    correlation: float
    from_identity: float
    condition: float


class Learnt(NamedTuple):
    """The best of the rates that were tried, its epochs until the goal, and the loss after 0, 1, 2, … of them."""

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


class Whitened(NamedTuple):
    """Digits with constant pixels, equalised.

    constant: how many pixels never vary. rank, true_rank: in how many directions the digits do, as the standardiser and
    as NumPy finds it. finite: whether nothing is NaN or infinite. from_identity: max|cov(z) − I|. inverse: max|x − x′|
    on the way back. stream: max|z − z′| when learnt batch by batch. values: z.
    """

    constant: int
    rank: int
    true_rank: int
    finite: bool
    from_identity: float
    inverse: float
    stream: float
    values: Array


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
        float(spectrum[-1] / spectrum[0]),
    )


def curvatures(x: Array) -> Array:
    """Eigenvalues, ascending, of H = Σ (x, 1)(x, 1)ᵀ / N: of ½ the mean squared error of a linear unit with a bias."""
    with_one = np.column_stack([x, np.ones(len(x))])
    return np.linalg.svd(with_one, compute_uv=False)[::-1] ** 2 / len(x)


def trial(
    x: Array,
    learn: Callable[[Wing, Array, float], Iterator[float]],
    rates: Callable[[Array], Sequence[float]],
    goal: float,
    limit: int,
) -> Trial:
    """Learn from the inputs of each stage, in both wings, each at its own best rate."""
    inputs = {wing.name: stages(wing, x) for wing in WINGS}
    learnt = {
        wing.name: {
            stage: fewest(functools.partial(learn, wing, one), rates(one), goal, limit)
            for stage, one in inputs[wing.name].items()
        }
        for wing in WINGS
    }
    ours, twin = inputs.values()
    drifts = (drift(learnt["scratch"][stage].losses, learnt["torch"][stage].losses) for stage in STAGES)
    return Trial(
        learnt,
        largest(float(np.abs(ours[stage] - twin[stage]).max()) for stage in STAGES),
        largest(drifts),
    )


def fewest(learn: Callable[[float], Iterator[float]], rates: Sequence[float], goal: float, limit: int) -> Learnt:
    """Try the rates one after the other; one is given up when it has taken as many epochs as the best so far."""
    best = Learnt(math.nan, math.inf, [])
    for rate in rates:
        losses: list[float] = []
        for loss in learn(rate):
            losses.append(loss)
            if not loss > goal or len(losses) > min(limit, best.epochs):
                break
        if losses[-1] <= goal and len(losses) - 1 < best.epochs:
            best = Learnt(rate, len(losses) - 1, losses)
    return best


def drift(ours: Sequence[float], twin: Sequence[float]) -> float:
    """Largest |J − J′| in parts of the first loss, for as long as ours fall; infinite where the other ends before.

    A rate that overshoots makes the loss rise and swing, and every rounding error grow with it: from there on two runs
    say nothing about each other.
    """
    falling = int(np.argmax([*(np.diff(ours) > 0), True])) + 1
    if not ours or len(twin) < falling:
        return math.inf
    return float(np.abs(np.subtract(ours[:falling], twin[:falling])).max() / ours[0])


def whiten(wing: Wing, x: Array, batch: int) -> Whitened:
    """Equalise inputs (N, D) some of which are constant, in one go and batch by batch, and go back."""

    def make() -> Any:
        return wing.library.Standardizer(x.shape[1], "equalized", dtype=wing.dtype())

    whole, stream = make().fit(wing.give(x)), make()
    for first in range(0, len(x), batch):
        stream.partial_fit(wing.give(x[first : first + batch]))
    z = wing.take(whole.transform(wing.give(x)))
    back, streamed = wing.take(whole.inverse_transform(wing.give(z))), wing.take(stream.transform(wing.give(x)))
    return Whitened(
        int((np.ptp(x, axis=0) == 0).sum()),
        whole.rank,
        int(np.linalg.matrix_rank(x - x.mean(axis=0))),
        bool(np.isfinite(z).all() and np.isfinite(back).all()),
        float(np.abs(z.T @ z / len(z) - np.eye(z.shape[1])).max()),
        float(np.abs(back - x).max()),
        float(np.abs(streamed - z).max()) if streamed.shape == z.shape else math.inf,
        z,
    )


def largest(values: Iterable[float]) -> float:
    """The largest; NaN if one is NaN, which Python's own `max` may pass over."""
    return float(np.max([*values]))
