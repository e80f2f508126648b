"""Criterion 5: a layer computes from what it is given, changes none of it, and remembers nothing.

Bitwise: inputs and parameters not mutated, results not aliased, results not written again by a later pass, a rerun
equal, two passes in flight at once kept apart, one cache used twice.
"""

import contextlib
from collections.abc import Callable, Mapping

import numpy as np

from torchref.oracle.candidate import LayerCandidate, LossCandidate, PenaltyCandidate
from torchref.oracle.comparison import Array, Comparison

CRITERION = "5 purity"


def verdict(what: str, fault: str) -> Comparison:
    """Criterion 5: passed unless there is a fault."""
    return Comparison(what, CRITERION, np.inf if fault else 0.0, fault)


def same_bits(a: Array, b: Array) -> bool:
    """Whether two arrays have the same shape, dtype and bytes (so NaN equals NaN, and 0.0 is not −0.0)."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def snapshot(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Copies by the same names."""
    return {name: np.array(array) for name, array in arrays.items()}


def changed(before: Mapping[str, Array], now: Mapping[str, Array]) -> str:
    """Which arrays no longer have the bits they had; "" if all have."""
    mutated = [name for name, array in before.items() if not same_bits(array, np.asarray(now[name]))]
    return f"mutates {', '.join(mutated)}" if mutated else ""


def aliases(results: Mapping[str, Array], sources: Mapping[str, Array]) -> str:
    """Which results share memory with a source; "" if none does."""
    shared = [
        f"{result} is a view of {source}"
        for result, a in results.items()
        for source, b in sources.items()
        if np.shares_memory(a, b)
    ]
    return "; ".join(shared)


def differences(first: Mapping[str, Array], second: Mapping[str, Array], why: str) -> str:
    """Which results of two runs differ in a bit; "" if none does."""
    differ = [name for name, array in first.items() if not same_bits(array, np.asarray(second[name]))]
    return f"{', '.join(differ)} differ {why}" if differ else ""


def growth(run: Callable[[], Mapping[str, Array]]) -> str:
    """Which results grow by the same amount with each of three equal passes, as sums never set back to 0 do."""
    first, second, third = (snapshot(run()) for _ in range(3))
    names = [
        name
        for name, array in second.items()
        if (array != first[name]).any()
        and np.allclose(third[name] - array, array - first[name], rtol=1e-3, atol=1e-3 * np.abs(first[name]).max())
    ]
    return f"; each pass adds the same to {', '.join(names)}" if names else ""


def _begin_others(layer: LayerCandidate, x: Array) -> None:
    """Forward passes on inputs that differ from x: in the values alone, in the batch size too, in the maps' size."""
    larger = another(x)
    layer.forward(larger[: len(x)])
    layer.forward(larger)
    if x.ndim > 2:
        with contextlib.suppress(ValueError):  # not every layer or network takes maps of another size
            layer.forward(np.concatenate([x, x], axis=-1))


def another(x: Array) -> Array:
    """An input that differs from x in every respect a layer might remember: the values, and the batch size."""
    rows = np.concatenate([x[::-1], np.zeros((2, *x.shape[1:]), x.dtype)])
    return (rows + np.linspace(0.5, 1.5, rows.size).reshape(rows.shape)).astype(x.dtype)


def another_target(target: Array, classes: int) -> Array:
    """A target for `another`: other labels, or other dense rows."""
    if np.issubdtype(target.dtype, np.floating):
        return another(target)
    return ((np.concatenate([target[::-1], np.zeros(2, target.dtype)]) + 1) % classes).astype(target.dtype)


def check_purity(layer: LayerCandidate, x: Array, dy: Array) -> list[Comparison]:
    """Criterion 5 for a layer or network, on an input and an upstream gradient of its output's shape."""
    given = {"x": x, "dy": dy, **layer.parameters()}
    before = snapshot(given)

    def results(upstream: Array, cache: object) -> dict[str, Array]:
        dx, grads = layer.backward(upstream, cache)
        return {"dx": np.asarray(dx), **{f"grad {name}": np.asarray(grad) for name, grad in grads.items()}}

    y, cache = layer.forward(x)
    y = np.asarray(y)
    first_y = np.array(y)
    mutation = changed(before, {"x": x, "dy": dy, **layer.parameters()})
    alias = aliases({"y": y}, given)
    # Other passes are begun before the first is finished: a layer that keeps its input, or anything else, on itself
    # mixes them up.
    _begin_others(layer, x)
    overwritten = differences({"y": first_y}, {"y": y}, "after another forward pass")
    first = results(dy, cache)
    kept = snapshot(first)
    # Another gradient: from the same one, an output buffer would be filled with the same numbers again.
    results(-dy, cache)
    renewed = differences(kept, first, "after another backward pass")
    second = results(dy, cache)
    again_y, again_cache = layer.forward(x)
    again_y = np.array(again_y)
    again = results(dy, again_cache)
    rerun = differences({"y": first_y, **kept}, {"y": again_y, **again}, "in a rerun, or by another pass between")
    if rerun:
        rerun += growth(lambda: results(dy, layer.forward(x)[1]))
    return [
        verdict("forward leaves its arguments alone", mutation),
        verdict("y is not aliased", alias),
        verdict("y is returned anew", overwritten),
        verdict("backward leaves its arguments alone", changed(before, {"x": x, "dy": dy, **layer.parameters()})),
        verdict("y survives backward", differences({"y": first_y}, {"y": y}, "after backward")),
        verdict("gradients are not aliased", aliases(first, given)),
        verdict("backward twice from one cache", differences(kept, second, "the second time")),
        verdict("gradients are returned anew", renewed),
        verdict("rerun", rerun),
    ]


def check_loss_purity(loss: LossCandidate, output: Array, target: Array) -> list[Comparison]:
    """Criterion 5 for a loss."""
    given = {"output": output, "target": target}
    before = snapshot(given)
    value, cache = loss.forward(output, target)
    value = np.asarray(value)
    first_value = np.array(value)
    # Another output of the same shape, as an output buffer might be kept for each; then one of another shape, which is
    # what a loss that keeps anything on itself is left with.
    _, same_shape_cache = loss.forward(-output, target)
    _, other_cache = loss.forward(another(output), another_target(target, output.shape[1]))
    overwritten = differences({"value": first_value}, {"value": value}, "after another forward pass")
    doutput = np.asarray(loss.backward(cache))
    kept = np.array(doutput)
    loss.backward(other_cache)
    loss.backward(same_shape_cache)
    renewed = differences({"doutput": kept}, {"doutput": doutput}, "after another backward pass")
    second = np.asarray(loss.backward(cache))
    again, again_cache = loss.forward(output, target)
    rerun = {"value": np.asarray(again), "doutput": np.asarray(loss.backward(again_cache))}
    return [
        verdict("loss leaves its arguments alone", changed(before, given)),
        verdict("value is returned anew", overwritten),
        verdict("doutput is not aliased", aliases({"doutput": doutput}, given)),
        verdict(
            "backward twice from one cache", differences({"doutput": kept}, {"doutput": second}, "the second time")
        ),
        verdict("doutput is returned anew", renewed),
        verdict("rerun", differences({"value": first_value, "doutput": kept}, rerun, "in a rerun")),
    ]


def check_penalty_purity(penalty: PenaltyCandidate, params: Mapping[str, Array]) -> list[Comparison]:
    """Criterion 5 for a penalty."""
    before = snapshot(params)
    value, cache = penalty.forward(params)
    value = np.asarray(value)
    first_value = np.array(value)
    _, same_shape_cache = penalty.forward({name: array + 1 for name, array in params.items()})
    _, other_cache = penalty.forward({name: another(array) for name, array in params.items()})
    overwritten = differences({"value": first_value}, {"value": value}, "after another forward pass")
    grads = penalty.backward(cache)
    kept = snapshot(grads)
    penalty.backward(other_cache)
    penalty.backward(same_shape_cache)
    renewed = differences(kept, grads, "after another backward pass")
    second = penalty.backward(cache)
    again, again_cache = penalty.forward(params)
    rerun = {"value": np.asarray(again), **penalty.backward(again_cache)}
    return [
        verdict("penalty leaves its arguments alone", changed(before, params)),
        verdict("value is returned anew", overwritten),
        verdict("gradients are not aliased", aliases(grads, params)),
        verdict("backward twice from one cache", differences(kept, second, "the second time")),
        verdict("gradients are returned anew", renewed),
        verdict("rerun", differences({"value": first_value, **kept}, rerun, "in a rerun")),
    ]
