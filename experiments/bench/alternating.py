"""Competitors timed in turns: what disturbs the machine for a second disturbs all of them, not one."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np

PAUSE: Final = 0.15
"""Seconds between two turns: for a tenth of a second after their work OpenBLAS's threads spin, waiting for more."""

Name = TypeVar("Name")


class Spread(NamedTuple):
    """Median and quartiles of a measure over the rounds."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the lower and upper quartile."""
    low, median, high = map(float, np.quantile(values, (0.25, 0.5, 0.75)))
    return Spread(median, low, high)


def ratios(numerator: Sequence[float], denominator: Sequence[float]) -> list[float]:
    """Return the quotient of each round: of two measures that were taken one shortly after the other."""
    return [above / below for above, below in zip(numerator, denominator, strict=True)]


def rotated(names: Sequence[Name], turn: int) -> list[Name]:
    """Return names from the one whose turn it is to begin, round to the one before it."""
    first = turn % len(names)
    return [*names[first:], *names[:first]]


def alternate(measures: Mapping[Name, Callable[[], float]], rounds: int, pause: float) -> dict[Name, tuple[float, ...]]:
    """Take each measure once in every round.

    Parameters
    ----------
    measures:
        What is measured; in every round another one begins, so that none always comes after the same one's heat.
    rounds:
        How often.
    pause:
        Seconds between two turns.

    Returns
    -------
    dict
        For each name its measures, in the order of the rounds.
    """
    taken: dict[Name, list[float]] = {name: [] for name in measures}
    for turn in range(rounds):
        for name in rotated(list(measures), turn):
            time.sleep(pause)
            taken[name].append(measures[name]())
    return {name: tuple(values) for name, values in taken.items()}
