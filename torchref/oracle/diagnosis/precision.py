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
SINGLE = "{it} is as exact as float32, in float64: something in between is rounded to float32 (the error is about 6e-8)"
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
    return ("precision:float32", SINGLE, "unknown") if _random(failed) else None


def _random(failed: Sequence[Seen]) -> bool:
    """Whether the errors go up and down as rounding does; a constant added somewhere, such as 1e-8, does not."""
    errors = np.concatenate([(s.mine - s.oracle).ravel() for s in failed])
    signs = np.sign(np.concatenate([s.oracle.ravel() for s in failed]))
    both = [e[e != 0] > 0 for e in (errors, errors * signs)]
    return all(len(up) >= 10 and 0.2 < up.mean() < 0.8 for up in both)


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
    try:
        prediction = s.restrict(outcome(s.trial, tensor.removesuffix(ABSENT), altered=rounded))
    except (ValueError, KeyError, RuntimeError):
        return False
    return prediction.shape == s.mine.shape and float(np.abs(prediction - s.mine).max()) <= s.floor
