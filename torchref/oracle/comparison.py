"""One tensor held against the oracle's, and what is said about it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array: TypeAlias = NDArray[Any]


class EquivalenceError(AssertionError):
    """Something is not identical in the sense of the criteria; the message says what, where and by how much."""


@dataclass(frozen=True)
class Comparison:
    """The verdict on one tensor.

    Attributes
    ----------
    tensor:
        Its name, such as "output", "dx" or "grad fc2.weight".
    criterion:
        Which criterion judged it, such as "2 linear operation".
    ratio:
        The largest error in units of its bound: at most 1 passes, infinity for a fault.
    fault:
        What is wrong where no error can be measured (shape, dtype, NaN pattern, mutation, aliasing), else "".
    index, mine, oracle, bound:
        The worst element: where, both values, and the error allowed there; None for a fault.
    """

    tensor: str
    criterion: str
    ratio: float
    fault: str = ""
    index: tuple[int, ...] | None = None
    mine: float | None = None
    oracle: float | None = None
    bound: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the tensor is identical in the sense of its criterion."""
        return not self.fault and self.ratio <= 1

    @property
    def said(self) -> str:
        """The fault, or the worst element, in a sentence without names."""
        if self.fault:
            return self.fault
        times = "not equal" if self.ratio == np.inf else f"{self.ratio:.2g} × the bound"
        if self.index is None or self.mine is None or self.oracle is None or self.bound is None:
            return times
        where = f" at {list(self.index)}" if self.index else ""
        short = [f"{value:.6g}" for value in (self.mine, self.oracle)]
        mine, oracle = short if len(set(short)) == 2 else [f"{value:.17g}" for value in (self.mine, self.oracle)]
        error = abs(self.mine - self.oracle)
        return f"{times}{where}: mine {mine}, oracle {oracle}, error {error:.2g}, allowed {self.bound:.2g}"

    def __str__(self) -> str:
        mark = "✓" if self.passed else "✗"
        if self.fault:
            return f"{mark} {self.tensor}: {self.fault} (criterion {self.criterion})"
        text = f"{mark} {self.tensor}: {self.ratio:.3g} of the bound (criterion {self.criterion})"
        if self.index is None or self.mine is None or self.oracle is None or self.bound is None:
            return text
        error = abs(self.mine - self.oracle)
        where = f"at {list(self.index)}" if self.index else "as a scalar"
        return (
            f"{text}; worst {where}: mine {self.mine:.17g}, oracle {self.oracle:.17g}, "
            f"error {error:.3g}, allowed {self.bound:.3g}"
        )


@dataclass(frozen=True)
class Report:
    """The comparisons of one case, in the order of computation."""

    case: str
    comparisons: tuple[Comparison, ...]

    @property
    def passed(self) -> bool:
        """Whether every comparison passed; False if there is none, for nothing was shown then."""
        return bool(self.comparisons) and all(c.passed for c in self.comparisons)

    @property
    def failures(self) -> tuple[Comparison, ...]:
        """The comparisons that failed, the first one first."""
        return tuple(c for c in self.comparisons if not c.passed)

    @property
    def worst(self) -> float:
        """The largest ratio of all comparisons."""
        return max((c.ratio for c in self.comparisons), default=0.0)

    def __str__(self) -> str:
        failures = self.failures
        head = f"{self.case}: {len(self.comparisons)} tensors compared, {len(failures)} failed"
        return "\n".join([head, *(f"  {c}" for c in (failures or self.comparisons))])

    def require(self) -> None:
        """Raise `EquivalenceError` with the failures, in the order of computation, unless all passed."""
        if not self.passed:
            raise EquivalenceError(str(self))


def merge(case: str, reports: Iterable[Report]) -> Report:
    """One report of many; each tensor's name gets its case in front."""
    return Report(
        case,
        tuple(replace(c, tensor=f"{report.case}: {c.tensor}") for report in reports for c in report.comparisons),
    )


def to_array(value: Any) -> Array:
    """A tensor's, scalar's or array's values as a NumPy array, on the CPU and detached."""
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def pattern_fault(mine: Array, oracle: Array) -> str:
    """Criterion 5 for a pair of arrays: shape, dtype, places of NaN and ±∞; "" if they agree."""
    if mine.shape != oracle.shape:
        return f"shape {mine.shape}, oracle {oracle.shape}"
    if mine.dtype != oracle.dtype:
        return f"dtype {mine.dtype}, oracle {oracle.dtype}"
    if np.isfinite(mine).all() and np.isfinite(oracle).all():
        return ""
    for what, test in (("NaN", np.isnan), ("+inf", np.isposinf), ("-inf", np.isneginf)):
        differ = np.argwhere(test(mine) != test(oracle))
        if len(differ):
            at = tuple(int(i) for i in differ[0])
            return f"{what} pattern differs at {list(at)}: mine {mine[at]}, oracle {oracle[at]}"
    return ""


def compare_arrays(tensor: str, mine: Any, oracle: Any, bound: Any, criterion: str) -> Comparison:
    """Hold `mine` against `oracle`, elementwise: |mine − oracle| ≤ bound.

    Parameters
    ----------
    tensor, criterion:
        Names for the verdict.
    mine:
        A NumPy array (or scalar). Anything else is a fault: it would change type somewhere unseen.
    oracle:
        An array or tensor.
    bound:
        The error allowed, a number or an array that broadcasts to the oracle's shape. 0 demands equality.

    Returns
    -------
    Comparison
        With the worst element located. Elements that are NaN or infinite in both count as equal.
    """
    if not isinstance(mine, np.ndarray | np.generic):
        return Comparison(tensor, criterion, np.inf, f"is a {type(mine).__name__}, expected a NumPy array")
    a, t = np.asarray(mine), to_array(oracle)
    if fault := pattern_fault(a, t):
        return Comparison(tensor, "5 form", np.inf, fault)
    if a.size == 0:
        return Comparison(tensor, criterion, 0.0)
    wide_a, wide_t = a.astype(np.float64), t.astype(np.float64)
    finite = np.isfinite(wide_t)
    error = np.zeros(t.shape)
    np.subtract(wide_a, wide_t, out=error, where=finite)
    error = np.abs(error)
    allowed = np.broadcast_to(to_array(bound).astype(np.float64), t.shape)
    if (unbounded := finite & ~np.isfinite(allowed)).any():
        at = tuple(int(i) for i in np.argwhere(unbounded)[0])
        return Comparison(
            tensor, criterion, np.inf, f"nothing can be judged at {list(at)}: the bound there is {allowed[at]}"
        )
    # Where the bound is 0 only equality passes.
    with np.errstate(over="ignore"):  # beyond the largest number it is infinity
        ratio = np.divide(error, allowed, out=np.where(error == 0, 0.0, np.inf), where=(allowed > 0) & finite)
    index = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    return Comparison(
        tensor,
        criterion,
        float(ratio[index]),
        index=tuple(int(i) for i in index),
        mine=float(wide_a[index]),
        oracle=float(wide_t[index]),
        bound=float(allowed[index]),
    )
