"""Networks whose layers add up their gradients: right with a way to clear them, wherever it is."""

from typing import Any

import numpy as np
import pytest
from torch import nn

from tests import own_networks as own
from tests.comparing import batch, first, two
from torchref import oracle


class Adding(own.Dense):
    def __init__(self, n: int, m: int) -> None:
        super().__init__(n, m)
        self.dW, self.db = np.zeros_like(self.W), np.zeros_like(self.b)

    def backward(self, dy: Any) -> Any:
        self.dW += self.x.T @ dy
        self.db = self.db + dy.sum(axis=0, keepdims=True)
        return dy @ self.W.T


def clear(layer: Any) -> None:
    layer.dW, layer.db = np.zeros_like(layer.W), np.zeros_like(layer.b)


class Clearing(Adding):
    def reset_grads(self) -> None:
        clear(self)


class LateClearing(Adding):
    """Has nothing to clear before its first pass."""

    def __init__(self, n: int, m: int) -> None:
        super().__init__(n, m)
        self.dW = None

    def zero_grad(self) -> None:
        self.dW[...] = 0
        self.db[...] = 0

    def backward(self, dy: Any) -> Any:
        self.dW = np.zeros_like(self.W) if self.dW is None else self.dW
        return super().backward(dy)


class Frozen(own.Dense):
    """Nobody can clear its gradient, and it does not add up."""

    def backward(self, dy: Any) -> Any:
        dx = super().backward(dy)
        self.dW.flags.writeable = False
        return dx


class ByTheNetwork(own.Stack):
    def zero_gradients(self) -> None:
        clear(self.layers[0])
        clear(self.layers[2])


class InForward(own.Stack):
    def forward(self, x: Any) -> Any:
        clear(self.layers[0])
        clear(self.layers[2])
        return super().forward(x)


class InBackward(own.Stack):
    def zero_grad(self, layers: Any) -> None:
        for layer in layers:
            clear(layer)

    def backward(self, dy: Any) -> Any:
        self.zero_grad(self.layers[::2])
        return super().backward(dy)


def stack(of: Any, layer: Any) -> Any:
    return of([layer(5, 6), own.Relu(), layer(6, 3)])


@pytest.mark.parametrize(
    ("net", "guess"),
    [
        (stack(own.Stack, Clearing), "reset_grads of the layers 0, 2 clears the gradients before each pass"),
        (stack(own.Stack, LateClearing), "zero_grad of the layers 0, 2 clears the gradients before each pass"),
        (stack(ByTheNetwork, Adding), "zero_gradients clears the gradients before each pass"),
        (stack(own.Stack, Frozen), "gradients are set to 0 before a layer is called alone"),
        (stack(InForward, Adding), "gradients are set to 0 before a layer is called alone"),
        (stack(InBackward, Adding), "gradients are set to 0 before a layer is called alone"),
    ],
)
def test_added_up_gradients_pass_where_there_is_a_way_to_clear_them(net: Any, guess: str) -> None:
    verdict = oracle.compare(net, two(nn.ReLU), *batch("float64"))
    assert verdict.passed, str(verdict)
    assert guess in verdict.guesses


class Forgetting(ByTheNetwork):
    def zero_gradients(self) -> None:
        clear(self.layers[0])


class Refusing(own.Stack):
    def zero_grad(self) -> None:
        raise RuntimeError("no")


def test_what_is_never_cleared_is_a_mistake() -> None:
    """None, one half of the layers, and a method that raises."""
    for net in (stack(own.Stack, Adding), stack(Forgetting, Adding)):
        verdict = oracle.compare(net, two(nn.ReLU), *batch("float64"))
        assert {f.code for f in verdict.findings} == {"memory:accumulated"}, str(verdict)
    assert {f.layer for f in verdict.findings} == {"2"}
    assert (
        "zero_grad raises RuntimeError"
        in first(oracle.compare(stack(Refusing, own.Dense), two(nn.ReLU), *batch("float64"))).what
    )
