"""Criterion 5 for somebody else's layer: what of `purity` can be asked of one that keeps its pass on itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from torchref.oracle.comparison import Array, Comparison
from torchref.oracle.purity import (
    aliases,
    another,
    another_target,
    changed,
    check_loss_purity,
    check_penalty_purity,
    check_purity,
    differences,
    growth,
    snapshot,
    verdict,
)
from torchref.oracle.subjects.subject import Incident, Misbehaviour, Subject


def check_conduct(subject: Subject, candidate: Any, x: Array, dy: Array) -> list[Comparison]:
    """How a candidate behaves around its answers, on an input and an upstream gradient of its output's shape.

    One with explicit caches goes through the whole of `check_purity`. Of one that keeps its pass on itself, only one
    pass is in flight at a time; of one without a backward part, the forward part alone is asked.
    """
    try:
        if not subject.backward:
            return _forward_alone(candidate, x)
        return _in_turn(candidate, x, dy) if subject.stateful else check_purity(candidate, x, dy)
    except Misbehaviour as trouble:
        what = f"{trouble.what}, when called again or on another batch size"
        return [Comparison(trouble.during, "5 conduct", np.inf, what)]


def harm(incident: Incident) -> Comparison:
    """The verdict on something a candidate did beside answering that it must not do."""
    return Comparison(incident.what, "5 conduct", np.inf, f"in {incident.during}")


def mutation(before: Mapping[str, Array], now: Mapping[str, Array]) -> list[Comparison]:
    """The verdict on arguments that a candidate's first pass changed; `check_conduct` sees only what changes again."""
    fault = changed(before, now)
    return [verdict("the first pass leaves its arguments alone", fault)] if fault else []


def _forward_alone(candidate: Any, x: Array) -> list[Comparison]:
    """Criterion 5 without a backward part: x, then other batches, then x again."""
    given = {"x": x, **candidate.parameters()}
    before = snapshot(given)
    y = np.asarray(candidate.forward(x)[0])
    kept = snapshot({"y": y})
    mutation, alias = changed(before, {"x": x, **candidate.parameters()}), aliases({"y": y}, given)
    larger = another(x)
    candidate.forward(larger[: len(x)])  # of the same shape first: output buffers may be kept for each
    candidate.forward(larger)
    overwritten = differences(kept, {"y": y}, "after another forward pass")
    rerun = differences(kept, {"y": np.asarray(candidate.forward(x)[0])}, "in a rerun, after another batch")
    return [
        verdict("forward leaves its arguments alone", mutation),
        verdict("y is not aliased", alias),
        verdict("y is returned anew", overwritten),
        verdict("rerun", rerun),
    ]


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
    candidate.forward(larger[: len(x)])  # of the same shape first: output buffers may be kept for each
    results(-dy)
    results(another(dy) if len(np.asarray(candidate.forward(larger)[0])) == len(larger) else dy)
    overwritten = differences({"y": first_y, **kept}, {"y": y, **first}, "after another pass")
    again_y = np.array(candidate.forward(x)[0])
    rerun = differences({"y": first_y, **kept}, {"y": again_y, **results(dy)}, "in a rerun, after another batch")
    if rerun:

        def once_more() -> dict[str, Array]:
            candidate.forward(x)
            return results(dy)

        rerun += growth(once_more)
    return [*verdicts, verdict("results are returned anew", overwritten), verdict("rerun", rerun)]


def check_loss_conduct(subject: Subject, loss: Any, output: Array, target: Array) -> list[Comparison]:
    """How a loss behaves around its answers: one with explicit caches as `check_loss_purity` has it, others in turn."""
    try:
        if subject.backward and not subject.stateful:
            return check_loss_purity(loss, output, target)
        return _losses_in_turn(loss, output, target, gradient=subject.backward)
    except Misbehaviour as trouble:
        what = f"{trouble.what}, when called again or on another batch size"
        return [Comparison(trouble.during, "5 conduct", np.inf, what)]


def _losses_in_turn(loss: Any, output: Array, target: Array, *, gradient: bool) -> list[Comparison]:
    """Criterion 5 with one pass at a time: one batch, then another, then the first again."""
    given = {"output": output, "target": target}
    before = snapshot(given)

    def results(*batch: Array) -> dict[str, Array]:
        value, cache = loss.forward(*batch)
        return {"value": np.asarray(value)} | ({"doutput": np.asarray(loss.backward(cache))} if gradient else {})

    first = results(output, target)
    kept = snapshot(first)
    mutation, alias = changed(before, given), aliases(first, given)
    results(-output, target)  # of the same shape first: output buffers may be kept for each
    results(another(output), another_target(target, output.shape[1]))
    return [
        verdict("loss leaves its arguments alone", mutation),
        verdict("doutput is not aliased", alias),
        verdict("results are returned anew", differences(kept, first, "after another pass")),
        verdict("rerun", differences(kept, results(output, target), "in a rerun, after another batch")),
    ]


def check_penalty_conduct(subject: Subject, penalty: Any, params: Mapping[str, Array]) -> list[Comparison]:
    """How a penalty behaves around its answers: as `check_penalty_purity` has it, or the value alone in a rerun."""
    try:
        if subject.backward and not subject.stateful:
            return check_penalty_purity(penalty, params)

        def results() -> dict[str, Array]:
            value, cache = penalty.forward(params)
            return {"value": np.asarray(value)} | (penalty.backward(cache) if subject.backward else {})

        before = snapshot(params)
        first = results()
        kept = snapshot(first)
        penalty.forward({name: array + 1 for name, array in params.items()})
        return [
            verdict("penalty leaves its arguments alone", changed(before, params)),
            verdict("gradients are not aliased", aliases(first, params)),
            verdict("results are returned anew", differences(kept, first, "after another pass")),
            verdict("rerun", differences(kept, results(), "in a rerun, after other parameters")),
        ]
    except Misbehaviour as trouble:
        return [Comparison(trouble.during, "5 conduct", np.inf, f"{trouble.what}, when called again")]
