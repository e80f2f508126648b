"""Criterion 5 for somebody else's layer: what of `purity` can be asked of one that keeps its pass on itself."""

from typing import Any

import numpy as np

from torchref.oracle.comparison import Array, Comparison
from torchref.oracle.purity import aliases, another, changed, check_purity, differences, snapshot, verdict
from torchref.oracle.subjects.subject import Incident, Misbehaviour, Subject


def check_conduct(subject: Subject, candidate: Any, x: Array, dy: Array) -> list[Comparison]:
    """How a candidate behaves around its answers, on an input and an upstream gradient of its output's shape.

    One with explicit caches goes through the whole of `check_purity`. Of one that keeps its pass on itself, only one
    pass is in flight at a time.
    """
    try:
        return _in_turn(candidate, x, dy) if subject.stateful else check_purity(candidate, x, dy)
    except Misbehaviour as trouble:
        what = f"{trouble.what}, when called again or on another batch size"
        return [Comparison(trouble.during, "5 conduct", np.inf, what)]


def harm(incident: Incident) -> Comparison:
    """The verdict on something a candidate did beside answering that it must not do."""
    return Comparison(incident.what, "5 conduct", np.inf, f"in {incident.during}")


def _in_turn(candidate: Any, x: Array, dy: Array) -> list[Comparison]:
    """Criterion 5 with one pass at a time: x, then another batch, then x again."""
    given = {"x": x, "dy": dy, **candidate.parameters()}
    before = snapshot(given)

    def results(upstream: Array) -> dict[str, Array]:
        dx, grads = candidate.backward(upstream, None)
        return {"dx": np.asarray(dx), **{f"grad {name}": np.asarray(grad) for name, grad in grads.items()}}

    y = np.asarray(candidate.forward(x)[0])
    first_y = np.array(y)
    mutation = changed(before, {"x": x, "dy": dy, **candidate.parameters()})
    alias = aliases({"y": y}, given)
    first = results(dy)
    kept = snapshot(first)
    verdicts = [
        verdict("forward leaves its arguments alone", mutation),
        verdict("y is not aliased", alias),
        verdict("backward leaves its arguments alone", changed(before, {"x": x, "dy": dy, **candidate.parameters()})),
        verdict("gradients are not aliased", aliases(first, given)),
    ]
    larger = another(x)
    results(another(dy) if len(np.asarray(candidate.forward(larger)[0])) == len(larger) else dy)
    overwritten = differences({"y": first_y, **kept}, {"y": y, **first}, "after another pass")
    again_y = np.array(candidate.forward(x)[0])
    rerun = differences({"y": first_y, **kept}, {"y": again_y, **results(dy)}, "in a rerun, after another batch")
    return [*verdicts, verdict("results are returned anew", overwritten), verdict("rerun", rerun)]
