"""A hypothesis about a mistake: what the candidate would have returned in each trial, and whether it did."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.kinds.kind import Trial

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
"""Of a prediction, relative to the largest entry."""
UNEXPLAINED = 0.01
"""How much of the error may be left in a trial that failed."""
ROUNDINGS = 64
"""In eps of the largest entry: below this an error is not worth explaining."""
ABSENT = ", absent links"


class ImpossibleError(ValueError):
    """A mistake that cannot be made in a trial, so that nothing is predicted."""


@dataclass(frozen=True)
class Hypothesis:
    """A mistake that would explain one tensor.

    Attributes
    ----------
    code:
        Its name in `CODES`.
    says:
        What is wrong, as a sentence without its subject: "the border was not cropped". `{it}` is the tensor's name.
    predict:
        What the candidate would have returned; None where the mistake changes nothing. Raises `ImpossibleError`, or
        NumPy's and torch's errors about shapes, where it cannot be made.
    strict:
        Whether it speaks of NaN and infinity too; others are not held against such trials.
    """

    code: str
    says: str
    predict: Callable[[Trial], Array | None]
    strict: bool = False


@dataclass(frozen=True)
class Seen:
    """One tensor in one trial: the two results as float64, restricted to absent links where these were judged."""

    trial: Trial
    mine: Array
    oracle: Array
    failed: bool
    finite: bool
    where: Array | None = None

    @property
    def scale(self) -> float:
        """The largest finite entry of either."""
        return max(largest(self.mine), largest(self.oracle))

    @property
    def floor(self) -> float:
        """An error that is mere rounding."""
        return ROUNDINGS * float(np.finfo(self.trial.dtype).eps) * self.scale

    def restrict(self, array: Array) -> Array:
        """A prediction as what was judged sees it."""
        wide = np.asarray(array).astype(np.float64)
        return wide if self.where is None else np.where(self.where, wide, 0.0)


def largest(array: Array) -> float:
    """The largest finite absolute value."""
    return float(np.abs(array, where=np.isfinite(array), out=np.zeros(array.shape)).max(initial=0.0))


def seen(trials: Iterable[Trial], tensor: str) -> list[Seen]:
    """The trials in which a tensor can be looked at, those that failed first; empty batches are left out."""
    name = tensor.removesuffix(ABSENT)
    found = []
    for trial in trials:
        mine, oracle = trial.mine.get(name), trial.oracle.get(name)
        if mine is None or oracle is None or not _numeric(mine) or np.size(oracle) == 0 or _empty(trial):
            continue
        if not any(c.tensor == tensor for c in trial.comparisons):
            continue
        where = _absent(trial) if tensor.endswith(ABSENT) else None
        wide, right = np.asarray(mine).astype(np.float64), np.asarray(oracle).astype(np.float64)
        if where is not None:
            if wide.shape != right.shape:
                continue
            wide, right = np.where(where, wide, 0.0), np.zeros_like(right)
        finite = all(np.isfinite(a).all() for a in (wide, right, *_floats(trial)))
        failed = any(not c.passed for c in trial.comparisons if c.tensor == tensor)
        found.append(Seen(trial, wide, right, failed, bool(finite), where))
    return sorted(found, key=lambda s: (not s.failed, s.oracle.size, s.trial.dtype != "float64"))


def _numeric(array: Array) -> bool:
    return np.issubdtype(np.asarray(array).dtype, np.floating)


def _floats(trial: Trial) -> list[Array]:
    return [a for a in trial.given.values() if isinstance(a, np.ndarray) and _numeric(a)]


def _empty(trial: Trial) -> bool:
    return any(np.size(array) == 0 for array in trial.given.values())


def _absent(trial: Trial) -> Array:
    table = ~np.asarray(trial.case.config["connections"], bool)
    weight = trial.oracle["grad weight"]
    return np.broadcast_to(table.reshape(*table.shape, *(1,) * (weight.ndim - 2)), weight.shape)


def predicted(hypothesis: Hypothesis, s: Seen) -> Array | None:
    """What a hypothesis says of a trial, as it was judged; None if it cannot be."""
    try:
        with np.errstate(all="ignore"):
            prediction = hypothesis.predict(s.trial)
            return s.oracle if prediction is None else s.restrict(prediction)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return None


def met(s: Seen, prediction: Array, *, strict: bool = False) -> bool:
    """Whether a prediction is what the candidate returned."""
    if prediction.shape != s.mine.shape:
        return False
    mine = s.mine
    if strict:
        if not all((test(mine) == test(prediction)).all() for test in (np.isnan, np.isposinf, np.isneginf)):
            return False
        keep = np.isfinite(mine) & np.isfinite(prediction)
        mine, prediction = np.where(keep, mine, 0), np.where(keep, prediction, 0)
    # Not `largest` of both: a wrong prediction that is huge would widen its own tolerance.
    allowed = TOLERANCE[s.trial.dtype] * largest(mine)
    residual = distance(mine, prediction)
    if not residual <= max(allowed, s.floor if s.where is None else 0.0):
        return False
    if s.failed and error(s) == 0:  # then only the sign of a zero is wrong
        return bool((np.signbit(prediction) == np.signbit(mine)).all())
    return not s.failed or strict or residual <= max(UNEXPLAINED * error(s), s.floor)


def error(s: Seen) -> float:
    """How far the candidate is from the oracle; infinity if the shapes differ."""
    return distance(s.mine, s.oracle) if s.mine.shape == s.oracle.shape else np.inf


def distance(a: Array, b: Array) -> float:
    """max|a − b|; infinity where one of them is not finite."""
    with np.errstate(invalid="ignore"):
        worst = float(np.abs(a - b).max(initial=0.0))
    return np.inf if np.isnan(worst) else worst


def telling(s: Seen, prediction: Array, *, strict: bool = False) -> bool:
    """Whether a prediction differs from the oracle by more than rounding."""
    if prediction.shape != s.oracle.shape:
        return True
    if strict and not np.array_equal(np.isfinite(prediction), np.isfinite(s.oracle)):
        return True
    if s.where is not None:
        return bool(prediction.any())
    if error(s) == 0:
        return not np.array_equal(np.signbit(prediction), np.signbit(s.oracle))
    if not strict:
        return distance(prediction, s.oracle) > 10 * s.floor
    keep = np.isfinite(prediction) & np.isfinite(s.oracle)
    return distance(np.where(keep, prediction, 0), np.where(keep, s.oracle, 0)) > 10 * s.floor


def contradicted(hypothesis: Hypothesis, looked: Iterable[Seen]) -> list[Trial] | None:
    """The trials that passed and of which a hypothesis says something false.

    None if it does not meet all that failed, or says of none of these anything but the oracle's.
    """
    told, false = False, []
    for s in looked:  # those that failed come first
        if not (s.finite or hypothesis.strict):
            continue
        prediction = predicted(hypothesis, s)
        if prediction is not None and met(s, prediction, strict=hypothesis.strict):
            told = told or (s.failed and telling(s, prediction, strict=hypothesis.strict))
        elif s.failed:
            return None
        else:
            false.append(s.trial)
    return false if told else None


def holds(hypothesis: Hypothesis, looked: Iterable[Seen]) -> bool:
    """Whether a hypothesis meets every trial, says something in one that failed, and nothing false in the others."""
    return contradicted(hypothesis, looked) == []
