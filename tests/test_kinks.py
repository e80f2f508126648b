"""Finite differences beside a kink: what the oracle allows there, and what it still sees."""

import numpy as np

import scratch
from torchref import oracle

STEP = np.cbrt(np.finfo(np.float64).eps)


def unit(bias: float, slope: float = 1.0) -> scratch.Sequential:
    """One ReLU unit with its pre-activation at `bias` where the input is 0, times a slope."""
    net = scratch.Sequential(
        {
            "below": scratch.Linear(1, 1, dtype=np.float64),
            "relu": scratch.ReLU(),
            "above": scratch.Linear(1, 1, dtype=np.float64),
        }
    )
    state = {"below.weight": [[1.0]], "below.bias": [bias], "above.weight": [[slope]], "above.bias": [0.5]}
    net.load_state_dict({name: np.array(value) for name, value in state.items()})
    return net


class Off(scratch.Sequential):
    """A network whose gradients are wrong by one part in 10,000."""

    def backward(self, dy: scratch.module.Array, cache: scratch.module.SequentialCache) -> tuple[np.ndarray, dict]:
        dx, grads = super().backward(dy, cache)
        return dx, {name: 1.0001 * grad for name, grad in grads.items()}


def check(net: scratch.Sequential, *, kinks: bool) -> oracle.Report:
    x, target = np.zeros((1, 1)), np.full((1, 1), 2.0)
    return oracle.check_gradients("fd", net, scratch.SquaredError(), x, target, kinks=kinks)


def test_a_kink_within_the_step_is_no_false_alarm() -> None:
    for bias in (-0.3 * STEP, 0.3 * STEP):
        assert {failure.tensor for failure in check(unit(bias), kinks=False).failures} >= {"dx", "grad/below.bias"}
        check(unit(bias), kinks=True).require()


def test_a_wrong_gradient_is_seen_where_there_might_be_a_kink() -> None:
    net = Off(unit(0.7).layers)
    failures = {failure.tensor for failure in check(net, kinks=True).failures}
    assert failures == {"grad/below.bias", "grad/above.weight", "grad/above.bias"}
    check(unit(0.7), kinks=True).require()
