"""Mistakes of precision: something computed or kept in float32, or in float64 whatever came."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.hypothesis import ABSENT, Seen, error
from torchref.oracle.diagnosis.ingredients import outcome
from torchref.oracle.kinds.kind import Trial

LEAK = (1e-10, 2e-6)
"""Relative to the largest entry: the size of an error that float32 leaves behind in float64."""
DOUBLE = "{it} comes as float64 where float32 went in: something in between is float64 (a constant, an array made)"
SINGLE_RESULT = "{it} was computed in float32 and cast up: every entry is a float32 number, the error about 6e-8"
SINGLE = (
    "{it} errs where and as the same computation in float32 does: something in between is rounded to float32 "
    "(the error is about 6e-8)"
)
ALIKE = 0.5
"""The least correlation of errors with those of a computation in float32."""
FEW = 30
"""With fewer entries a correlation says nothing."""
SIZE = "the errors are no larger than float32 would leave in float64 (about 6e-8 of the largest entry)"
NARROW = "{it} comes as {came} where float64 went in"


def wrong_dtype(looked: Sequence[Seen], tensor: str) -> tuple[str, str] | None:
    """A result of another dtype, right but for that: code and hint."""
    failed = [s for s in looked if s.failed]
    came = {np.asarray(s.trial.mine[tensor.removesuffix(ABSENT)]).dtype.name for s in failed}
    if len(came) != 1 or not failed or any(s.trial.dtype in came for s in failed):
        return None
    if any(s.finite and not error(s) <= 1e-4 * max(s.scale, 1e-30) for s in failed):
        return None
    (name,) = came
    if name == "float64":
        return "precision:float64", DOUBLE
    return "precision:float32", NARROW.replace("{came}", name)


def leak(looked: Sequence[Seen], tensor: str) -> tuple[str, str, str] | None:
    """Float32 on the way in float64: code, hint, and what was rounded, the same on a second seed."""
    failed = [s for s in looked if s.failed and s.finite]
    if not failed or any(s.trial.dtype != "float64" or not _small(s) for s in failed):
        return None
    if all((s.mine == s.mine.astype(np.float32)).all() for s in failed):
        return "precision:float32", SINGLE_RESULT, "result"
    for names in rounded_sets(failed[0].trial):
        if all(_meets(s, tensor, names) for s in failed):
            said = " and ".join(names)
            return "precision:float32", f"{{it}}: {said} rounded to float32 on the way (the error is about 6e-8)", said
    return ("precision:float32", SINGLE, "unknown") if _alike(failed, tensor) else None


def as_small(looked: Sequence[Seen]) -> tuple[str, ...]:
    """As evidence: errors in float64 of the size that float32 would leave, whatever they come from."""
    failed = [s for s in looked if s.failed and s.finite]
    return (SIZE,) if failed and all(s.trial.dtype == "float64" and _small(s) for s in failed) else ()


def _alike(failed: Sequence[Seen], tensor: str) -> bool:
    """Whether the errors are those of the oracle in float32: computed, as the size alone is no sign of rounding."""
    mine, single = [], []
    for s in failed:
        given = s.trial.given
        names = [n for n in given if n in ("x", "dy") or f"grad {n}" in s.trial.oracle]
        prediction = _rounded(s, tensor, {name: given[name].astype(np.float32) for name in names})
        if prediction is None or prediction.shape != s.mine.shape:
            return False
        mine.append((s.mine - s.oracle).ravel() / s.scale)
        single.append((prediction - s.oracle).ravel() / s.scale)
    one, other = np.concatenate(mine), np.concatenate(single)
    size = float(np.sqrt((one * one).sum() * (other * other).sum()))
    return len(one) >= FEW and float((one * other).sum()) > ALIKE * size


def _rounded(s: Seen, tensor: str, altered: dict[str, Array]) -> Array | None:
    """The oracle's tensor on other arrays, None where it cannot be run."""
    try:
        return s.restrict(outcome(s.trial, tensor.removesuffix(ABSENT), altered=altered))
    except (AttributeError, KeyError, RuntimeError, ValueError):
        return None


def _small(s: Seen) -> bool:
    least = LEAK[0] if s.trial.variety == "normal" else 0.0  # one of 1e4 among special values hides the others' error
    return least * s.scale < error(s) < LEAK[1] * s.scale


def rounded_sets(trial: Trial) -> Iterator[tuple[str, ...]]:
    """Which of the arrays given may have been rounded."""
    names = [n for n in ("x", "dy", "weight", "bias") if n in trial.given]
    for count in range(1, len(names) + 1):
        yield from itertools.combinations(names, count)


def _meets(s: Seen, tensor: str, names: tuple[str, ...]) -> bool:
    """Whether the result is the oracle's on rounded arrays."""
    rounded: dict[str, Array] = {
        name: s.trial.given[name].astype(np.float32).astype(np.float64) for name in names if name in s.trial.given
    }
    prediction = _rounded(s, tensor, rounded)
    if prediction is None or prediction.shape != s.mine.shape:
        return False
    return float(np.abs(prediction - s.mine).max()) <= s.floor
