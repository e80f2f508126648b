"""Mistakes that change an array before it is used: the size of the change is taken from one trial."""

from collections.abc import Iterator

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.hypothesis import Hypothesis, ImpossibleError, Seen
from torchref.oracle.diagnosis.ingredients import outcome
from torchref.oracle.kinds.kind import Trial

FROZEN = ("read-only", "broadcast")
"""Varieties of input that cannot be written to."""


def tampered(tensor: str, sample: Seen) -> Iterator[Hypothesis]:
    """X scaled before it is used; the weights moved along their gradient before dx is computed."""
    if sample.mine.shape != sample.oracle.shape or "x" not in sample.trial.given:
        return

    def doubled(trial: Trial) -> Array:
        return outcome(trial, tensor, x=2 * trial.given["x"])

    def stepped(trial: Trial) -> Array:
        if "grad weight" not in trial.oracle:
            raise ImpossibleError("no weight")
        weight = trial.given["weight"]
        return outcome(trial, tensor, weight=weight + trial.oracle["grad weight"])

    kinds = [("x is multiplied by {by:.6g} before it is used", doubled, True)] if tensor == "y" else []
    kinds += [("the weight has been moved by {by:.6g} times its gradient before {{it}} is computed", stepped, False)]
    for says, other, writing in kinds:
        try:
            change = other(sample.trial) - sample.oracle
        except (ValueError, RuntimeError, KeyError):
            continue
        size = float((change * change).sum())
        if not np.isfinite(size) or size == 0:
            continue
        by = float((change * (sample.mine - sample.oracle)).sum()) / size

        def predict(trial: Trial, other=other, by: float = by, writing: bool = writing) -> Array | None:  # type: ignore[no-untyped-def]
            if writing and trial.variety in FROZEN:
                return None
            right = trial.oracle[tensor]
            changed: Array = right + by * (other(trial) - right)
            return changed

        text = says.format(by=1 + by if writing else by)
        yield Hypothesis("conduct:mutation", f"{{it}}: {text}", predict)
