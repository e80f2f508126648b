"""Mistakes with a convolution's table of connections."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.convolving import applied, hypothesis
from torchref.oracle.diagnosis.hypothesis import Hypothesis, Seen
from torchref.oracle.diagnosis.ingredients import Leaves, outcome
from torchref.oracle.kinds.kind import Trial

Change = Callable[[Tensor], Tensor]

CHANGES: dict[str, tuple[str, Change]] = {
    "table:ignored": ("the table of connections is not used", torch.ones_like),
    "table:inverted": ("the table of connections is inverted", torch.logical_not),
    "table:transposed": (
        "the table of connections is transposed where it is square",
        lambda t: t.T if t.shape[0] == t.shape[1] else t,
    ),
    "table:rolled": ("the table of connections is rolled by one along the inputs", lambda t: t.roll(1, 1)),
    "table:rolled -1": ("the table of connections is rolled by −1 along the inputs", lambda t: t.roll(-1, 1)),
    "table:rolled rows": ("the table of connections is rolled by one along the outputs", lambda t: t.roll(1, 0)),
    "table:rolled rows -1": ("the table of connections is rolled by −1 along the outputs", lambda t: t.roll(-1, 0)),
    "table:flipped": ("the table of connections is upside down", lambda t: t.flip(0)),
    "table:flipped columns": ("the table of connections is mirrored left to right", lambda t: t.flip(1)),
}
"""By code: what is said of it, and what the table becomes."""


def toggled(which: int, present: bool) -> Change:
    """One link the other way: the first, second, … (from the end if negative) that is there, or that is not."""

    def change(table: Tensor) -> Tensor:
        links = torch.nonzero(table if present else ~table)
        other = table.clone()
        row, column = links[which].tolist()
        other[row, column] = not present
        return other

    return change


def tables(tensor: str, sample: Seen) -> Iterator[Hypothesis]:
    """Another table, for whichever tensor is wrong; nothing where no layer has one."""
    if not _tabled(sample.trial):
        return
    changes = dict(CHANGES)
    for which in (0, -1, 1, 2):
        place = {0: "first", -1: "last", 1: "second", 2: "third"}[which]
        changes[f"table:link-missing {which}"] = (f"the {place} link of the table is missing", toggled(which, True))
        changes[f"table:link-extra {which}"] = (f"the {place} absent link of the table is there", toggled(which, False))
    for code, (says, change) in changes.items():
        yield hypothesis(tensor, code.split(" ")[0], f"{{it}}: {says}", _changed(change))


def _tabled(trial: Trial) -> bool:
    return getattr(trial.reference, "connections", None) is not None


def _changed(change: Change) -> Callable[[Trial, Leaves], Tensor]:
    def forward(trial: Trial, leaves: Leaves) -> Tensor:
        return applied(trial, leaves, table=change(trial.reference.connections) if _tabled(trial) else None)

    return forward


def unmasked(tensor: str, sample: Seen) -> Iterator[Hypothesis]:
    """The gradient on absent links: what it would be without the table, times a factor."""
    if not tensor.startswith("grad weight") or sample.mine.shape != sample.oracle.shape:
        return

    def whole(trial: Trial) -> Array:
        return outcome(trial, "grad weight", lambda leaves: applied(trial, leaves, table=None))

    if sample.where is not None:
        error = sample.mine
        size = sample.restrict(whole(sample.trial))
        factor = float((error * size).sum() / max((size * size).sum(), np.finfo(np.float64).tiny))
        says = f"absent links get {factor:.3g} times the gradient that they would have without a table, not exactly 0"
        yield Hypothesis("table:absent-nonzero", says, lambda t: whole(t) * factor)
