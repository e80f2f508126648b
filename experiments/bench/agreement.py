"""Whether a competitor computes what `scratch` computes: to compare the speeds of two computations is worth nothing.

After a few steps from the same weights, on the same images, each is held against `scratch`: in training the loss and
every updated parameter, in inference the output. By then what is recorded or compiled has taken over, so that it is
what is checked. What may lie between them is rounding, which depends on the order of sums.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.bench import networks
from experiments.bench.cells import Cell

Array = NDArray[np.floating[Any]]

OUTPUT: Final = 2**5
LOSS: Final = 2**5
GRADIENT: Final = 2**10
"""Roundings that may lie between two results, in units of the precision times the largest entry.

A dozen happen to each output on its way, one behind the other. A gradient is a sum over images and pixels, up to
200,704 terms in C1's bias at batch 256, so that the order in which they are added counts for more.
"""


class Difference(NamedTuple):
    """How far a competitor is from `scratch` in one array: the greatest distance of two entries, and what may be."""

    name: str
    apart: float
    allowed: float

    @property
    def share(self) -> float:
        """Distance as a share of what may be; infinite where one of the numbers is NaN or infinite."""
        return self.apart / self.allowed if np.isfinite(self.apart) else np.inf


class DisagreementError(Exception):
    """A competitor computes something else, so its speed says nothing; the message has the figures."""


def check(cell: Cell, ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> Difference:
    """Hold the outcome of a competitor's first steps against that of `scratch`.

    Parameters
    ----------
    cell:
        What both have computed.
    ours, theirs:
        What `competitors.Steps.outcome` returned.

    Returns
    -------
    Difference
        The array in which the two use up the greatest share of what may be.

    Raises
    ------
    DisagreementError
        If they differ by more than rounding, in names or shapes, or if the competitor computes in another precision.
    """
    if refusal := _other_form(cell, ours, theirs):
        raise DisagreementError(f"{cell.name}: {refusal}")
    found = list(differences(cell, ours, theirs))
    worst = max(found, key=lambda one: one.share)
    if excess := [one for one in found if one.share > 1]:
        figures = ", ".join(f"{one.name} by {one.apart:.2g} (rounding: {one.allowed:.2g})" for one in excess)
        raise DisagreementError(f"{cell.name}: differs from scratch in {figures}")
    return worst


def differences(cell: Cell, ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> Iterator[Difference]:
    """Measure how far two outcomes of the same form are apart, array by array.

    Logits are compared after the mean over the classes has been taken off: log-probabilities may stand for them. A
    parameter may differ by its own rounding, and by that of its gradient times the learning rate; the gradient's size
    is seen in how far `scratch` has moved.
    """
    precision = float(np.finfo(cell.dtype).eps)
    if cell.mode == "infer":
        mine, other = (_centred(outcome["output"]) for outcome in (ours, theirs))
        yield Difference("output", _farthest(mine - other), OUTPUT * precision * _farthest(mine))
        return
    mine, other = (np.asarray(outcome["loss"], np.float64) for outcome in (ours, theirs))
    yield Difference("loss", _farthest(mine - other), LOSS * precision * _farthest(mine))
    for name, start in networks.initial_state(cell).items():
        mine, other = ours[name].astype(np.float64), theirs[name].astype(np.float64)
        allowed = precision * (_farthest(mine) + GRADIENT * _farthest(mine - start))
        yield Difference(name, _farthest(mine - other), allowed)


def _other_form(cell: Cell, ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> str:
    """What makes two outcomes impossible to compare, or nothing."""
    if ours.keys() != theirs.keys():
        return f"has {sorted(theirs)}, expected {sorted(ours)}"
    for name, array in theirs.items():
        if np.shape(array) != np.shape(ours[name]):
            return f"{name} has shape {np.shape(array)}, expected {np.shape(ours[name])}"
        if name != "loss" and array.dtype != cell.dtype:  # a loss may have been turned into a Python number
            return f"{name} is {array.dtype}, expected {cell.dtype}"
    return ""


def _centred(output: Array) -> Array:
    wide = output.astype(np.float64)
    return np.asarray(wide - wide.mean(axis=1, keepdims=True))


def _farthest(array: Array) -> float:
    """The greatest absolute value; NaN if there is one."""
    return float(np.abs(array).max())
