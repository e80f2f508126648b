"""Statistics by which claims that involve chance are judged: over seeds, never by one lucky run."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Rate(NamedTuple):
    """Successes of a number of trials, as a share with its 95 % interval after Wilson."""

    successes: int
    trials: int
    share: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.successes} of {self.trials} ({self.low:.0%} to {self.high:.0%})"


class Spread(NamedTuple):
    """Median of a sample with its quartiles."""

    median: float
    lower: float
    upper: float


def rate(successes: int, trials: int) -> Rate:
    """Share of successes, with Wilson's 95 % interval."""
    interval = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    return Rate(successes, trials, successes / trials, float(interval.low), float(interval.high))


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles."""
    lower, median, upper = np.quantile(values, (0.25, 0.5, 0.75))
    return Spread(float(median), float(lower), float(upper))


def sign_test(greater: Sequence[float], less: Sequence[float]) -> float:
    """One-sided p-value of the sign test over pairs: that the first is not greater than the second; ties are left out.

    Half of the pairs that differ would be greater by chance; p is the probability of as many as there are, or more.
    """
    differences = np.asarray(greater, float) - np.asarray(less, float)
    differing = int(np.count_nonzero(differences))
    if not differing:
        return 1.0
    return float(stats.binomtest(int((differences > 0).sum()), differing, alternative="greater").pvalue)


def worst(values: Iterable[float]) -> float:
    """The largest, or NaN if there is one, which Python's own `max` may pass over: no claim holds with it."""
    return float(np.max([*values]))
