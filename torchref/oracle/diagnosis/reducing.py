"""Mistakes in what a loss is divided by."""

from collections.abc import Callable, Iterator

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.hypothesis import Hypothesis
from torchref.oracle.kinds.kind import Trial


def divisor(trial: Trial) -> int:
    """What the sum over the samples is divided by."""
    return len(trial.given["output"]) if trial.reference.reduction == "mean" else 1


def reductions(tensor: str) -> Iterator[Hypothesis]:
    """Divided by something else, or not at all."""
    ways: dict[str, tuple[str, Callable[[Trial], float]]] = {
        "sum": ("it is not divided by the number of samples N, where the mean was asked for", lambda t: 1),
        "mean": ("it is always divided by the number of samples N, also where the sum was asked for", samples),
        "units": (
            "the mean is over the units too: it is divided by N·K, not by N",
            lambda t: divisor(t) * (units(t) if divisor(t) > 1 or t.reference.reduction == "mean" else 1),
        ),
        "always units too": ("it is divided by the number of units K on top", lambda t: divisor(t) * units(t)),
        "only units": ("it is divided by the number of units K, not by N", units),
        "always units": ("it is always divided by N·K", lambda t: t.given["output"].size),
        "twice": ("it is divided by N twice", lambda t: divisor(t) ** 2),
    }
    for says, other in ways.values():

        def predict(trial: Trial, other: Callable[[Trial], float] = other) -> Array:
            return np.asarray(trial.oracle[tensor] * (divisor(trial) / other(trial)))

        yield Hypothesis("loss:reduction", f"{{it}}: {says}", predict)
    yield Hypothesis("loss:sign", "{it}: it has the opposite sign", lambda t: -t.oracle[tensor])


def averaged(tensor: str) -> Iterator[Hypothesis]:
    """The squared error as torch's `MSELoss` has it: without ½, and averaged over the units too."""
    says = "{it}: it is that of the mean of (y − t)² over all N·K entries, 2/K times that of ½‖y − t‖² averaged over N"
    for sums in (False, True):

        def predict(trial: Trial, sums: bool = sums) -> Array:
            whole = sums and trial.reference.reduction == "sum"
            other = 0.5 if whole else trial.given["output"].size / 2
            return np.asarray(trial.oracle[tensor] * (divisor(trial) / other))

        yield Hypothesis("loss:reduction", says, predict)


def samples(trial: Trial) -> int:
    """N."""
    return len(trial.given["output"])


def units(trial: Trial) -> int:
    """K."""
    return int(trial.given["output"].shape[1])
