"""The learning rate of each network in `subsampling`: which it is, and that nobody chose it by hand."""

import functools
from typing import Final

import numpy as np

from experiments import data
from experiments.lecture.lab import WINGS
from experiments.lecture.lab.seeds import over_seeds
from experiments.lecture.subsampling_shifts import KINDS, Training, halved, learn

RATES: Final = (0.025, 0.05, 0.1, 0.2)
SEEDS: Final = range(1000, 1008)
"""What is tried, and with which seeds: not those of the experiment."""


def search(training: Training, *, jobs: int = 1) -> dict[str, float]:
    """By what shrinks the maps, the rate whose mean validation error over `SEEDS` is the least; in scratch."""
    errors = np.mean(over_seeds(functools.partial(validation_errors, training), SEEDS, jobs), axis=0)
    return {kind: RATES[int(best)] for kind, best in zip(KINDS, errors.argmin(axis=1), strict=True)}


def validation_errors(training: Training, seed: int) -> list[list[float]]:
    """Share of the validation digits, in place, that are misread: a row for each of `KINDS`, a column for each rate."""
    digits = data.load("digits").validation
    x = halved(digits.images)

    def error(kind: str, rate: float) -> float:
        net, _ = learn(WINGS[0], training, kind, rate, seed)
        return float(np.mean(np.argmax(net.predict(x), -1) != digits.labels))

    return [[error(kind, rate) for rate in RATES] for kind in KINDS]
