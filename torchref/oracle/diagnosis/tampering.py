"""Mistakes that change an array before it is used: the size of the change is taken from one trial."""

from collections.abc import Callable, Iterator

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.hypothesis import Hypothesis, Seen
from torchref.oracle.diagnosis.ingredients import outcome
from torchref.oracle.diagnosis.outputs import told
from torchref.oracle.kinds.kind import Trial

FROZEN = ("read-only", "broadcast")
"""Varieties of input that cannot be written to."""
Other = Callable[[Trial], Array]


def tampered(tensor: str, sample: Seen) -> Iterator[Hypothesis]:
    """X or dy scaled before it is used; the weights moved along their gradient before dx is computed.

    Where no argument was seen to change, these are not asked for: a factor would explain the numbers as well.
    """
    faults = [c.fault for c in sample.trial.failures if c.tensor.endswith("its arguments alone")]
    if sample.mine.shape != sample.oracle.shape or sample.where is not None:
        return
    mutated = {name.strip(" ,") for fault in faults for name in fault.split()}
    for name in ("x", "dy"):
        if name in mutated and not (name == "dy" and tensor == "y"):
            yield from _fitted(
                tensor, sample, f"{name} is multiplied by {{by}} before it is used", _twice(tensor, name)
            )
    if tensor == "dx" and "weight" in mutated:
        says = "the weight has been moved by {by} times its gradient before {{it}} is computed"
        yield from _fitted(tensor, sample, says, _moved(tensor), writing=False)


def _twice(tensor: str, name: str) -> Other:
    return lambda t: outcome(t, tensor, altered={name: 2 * t.given[name]})


def _moved(tensor: str) -> Other:
    def other(trial: Trial) -> Array:
        return outcome(trial, tensor, altered={"weight": trial.given["weight"] + trial.oracle["grad weight"]})

    return other


def _fitted(tensor: str, sample: Seen, says: str, other: Other, *, writing: bool = True) -> Iterator[Hypothesis]:
    """The oracle's tensor moved towards another one, as far as in the sample."""
    change = other(sample.trial) - sample.oracle
    size = float((change * change).sum())
    if not np.isfinite(size) or size == 0:
        return
    by = float((change * (sample.mine - sample.oracle)).sum()) / size

    def predict(trial: Trial) -> Array | None:
        if writing and trial.variety in FROZEN:
            return None
        right = trial.oracle[tensor]
        changed: Array = right + by * (other(trial) - right)
        return changed

    yield Hypothesis("conduct:mutation", f"{{it}}: {says.format(by=told(1 + by) if writing else f'{by:.6g}')}", predict)


READINGS: dict[str, tuple[str, str, Callable[[Array], Array]]] = {
    "order:fortran": (
        "Fortran order",
        "x is read in the order in which it lies in memory",
        lambda x: x.ravel(order="F").reshape(x.shape),
    ),
    "order:strides": ("negative strides", "the sign of x's strides is dropped: it is read backwards", np.flip),
    "order:strides last": (
        "negative strides",
        "the sign of x's last stride is dropped: its last axis is read backwards",
        lambda x: np.flip(x, -1),
    ),
    "order:strides first": (
        "negative strides",
        "the sign of x's first stride is dropped: the samples are read backwards",
        lambda x: np.flip(x, 0),
    ),
}
"""By code: the variety of input, what is said, and as what x is read."""


def misreadings(tensor: str) -> Iterator[Hypothesis]:
    """X read without regard to how it lies in memory."""
    for code, (variety, says, read) in READINGS.items():

        def predict(trial: Trial, variety: str = variety, read: Callable[[Array], Array] = read) -> Array | None:
            if trial.variety != variety:
                return None
            return outcome(trial, tensor, altered={"x": np.ascontiguousarray(read(trial.given["x"]))})

        yield Hypothesis(code.split(" ")[0], f"{{it}}: {says}", predict)
