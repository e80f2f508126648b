"""Networks that raise, return odd things, change arguments or stand at a kink; mistakes in what joins layers."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import scratch
import torchref
from tests import own_networks as own
from tests.comparing import batch, cell, first, two
from torchref import oracle


class Broken:
    """Raises, returns the wrong things, or nothing."""

    def __init__(self, forward: Any, backward: Any = None, weights: Any = None) -> None:
        self._parts = forward, backward
        self.held = weights

    def forward(self, x: Any) -> Any:
        return self._parts[0](x)

    def backward(self, dy: Any, cache: Any) -> Any:
        return self._parts[1](dy, cache)

    def parameters(self) -> dict[str, Any]:
        return {} if self.held is None else self.held


def test_what_does_not_answer_is_said_and_is_no_crash() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3))
    twin = nn.Sequential(nn.Tanh())

    def raising(*_: Any) -> Any:
        raise ZeroDivisionError("division by zero")

    cases = {
        "raises ZeroDivisionError: division by zero": Broken(raising),
        "returns an array (4, 3), expected y and a cache": Broken(lambda x: x),
        "returns None": Broken(lambda _: None),
        "returns a dict of nothing as the output": Broken(lambda x: ({}, x)),
        "expected dx and gradients": Broken(lambda x: (np.tanh(x), x), lambda dy, _: dy),
        "for the gradients, expected a dict by name": Broken(lambda x: (np.tanh(x), x), lambda dy, _: (dy, [dy])),
    }
    for fault, mine in cases.items():
        assert fault in first(oracle.compare(mine, twin, x)).fault
    missing = first(oracle.compare(Broken(lambda _: None), twin, x))
    assert missing.missing
    assert missing.code == "missing:part"

    def later(x: Any) -> Any:
        if len(x) != 4:
            raise ValueError("another batch")
        return np.tanh(x), x

    when = first(oracle.compare(Broken(later, lambda dy, x: (dy * (1 - np.tanh(x) ** 2), {})), twin, x)).when
    assert when == "only on other inputs, of another batch size"


def test_losses_that_do_not_answer_are_said() -> None:
    mine = scratch.MLP((5, 3), dtype=np.float64)
    twin = torchref.MLP((5, 3), dtype=torch.float64)
    found = first(oracle.compare(mine, twin, *batch("float64"), my_loss=lambda *_: 1.0))
    assert found.tensor == "loss"
    assert "expected a value, and a gradient or cache" in found.fault
    halved = oracle.compare(
        mine, twin, *batch("float64"), my_loss=lambda s, y: (own.softmax_loss(s, y)[0], own.softmax_loss(s, y)[1] / 2)
    )
    assert (first(halved).tensor, first(halved).layer) == ("doutput", "")
    assert cell(halved, "fc1", "dweight").status == "inherited"
    wrong = oracle.compare(
        own.Flat(), two(), *batch("float64"), my_loss=lambda s, y: (2 * own.softmax_loss(s, y)[0], 0 * s)
    )
    assert [f.tensor for f in wrong.findings] == ["loss", "doutput"]


def test_stateful_networks_that_raise_never_show_their_parameters() -> None:
    class Raising(own.Stack):
        def forward(self, x: Any) -> Any:
            raise NotImplementedError

    verdict = oracle.compare(Raising([own.Dense(5, 3)]), nn.Sequential(nn.Linear(5, 3)), *batch("float64"))
    assert first(verdict).missing
    assert verdict.rows == ()

    class Backward(own.Stack):
        def backward(self, dy: Any) -> Any:
            raise ZeroDivisionError(dy.shape)

    verdict = oracle.compare(Backward([own.Dense(5, 3)]), nn.Sequential(nn.Linear(5, 3)), *batch("float64"))
    assert first(verdict).tensor == "dx"


def test_other_parameters_are_refused_with_both_lists() -> None:
    x, target = batch("float64")
    mine, twin = scratch.MLP((5, 4, 3), dtype=np.float64), torchref.MLP((5, 6, 3), dtype=torch.float64)
    fault = first(oracle.compare(mine, twin, x, target)).fault
    assert "yours: fc1.weight (4, 5)" in fault
    assert "torch's: fc1.weight (6, 5)" in fault
    with pytest.raises(TypeError, match="expected forward"):
        oracle.compare(object(), twin, x)

    class Three(own.Stack):
        def backward(self, dy: Any, x: Any, y: Any) -> Any:  # type: ignore[override]
            return dy + x + y

    with pytest.raises(TypeError, match="expected forward"):
        oracle.compare(Three([]), twin, x)
    with pytest.raises(ValueError, match="loss is None"):
        oracle.compare(mine, twin, x, x[:, :3])
    with pytest.raises(ValueError, match="x has dtype int64"):
        oracle.compare(mine, twin, np.arange(3))


def test_wider_parameters_than_x_decide_the_precision() -> None:
    x, target = batch("float32")
    verdict = oracle.compare(own.TwoLayerNet(), two(nn.ReLU), x, target)
    assert verdict.passed
    assert "your parameters are float64 and x float32: all is done in float64" in verdict.remarks


def test_an_input_at_a_kink_is_not_judged_freely_but_its_layers_are() -> None:
    x = np.ones((4, 5))
    x[0, 1:] = -1, 0, 0, 0

    class Loose(own.Dense):
        def backward(self, dy: Any) -> Any:
            return super().backward(dy) * 2

    twin = two(nn.ReLU)
    with torch.no_grad():
        twin[0].bias.zero_()
        twin[0].weight[:, 1] = twin[0].weight[:, 0]  # all units stand at 0, as the two cancel
    mine = own.Stack([own.Dense(5, 6), own.Relu(), own.Dense(6, 3)])
    verdict = oracle.compare(mine, twin, x)
    assert verdict.passed, str(verdict)
    assert any("x is too near a kink of 1" in text for text in verdict.remarks)
    verdict = oracle.compare(own.Stack([Loose(5, 6), own.Relu(), own.Dense(6, 3)]), twin, x)
    assert (first(verdict).layer, first(verdict).tensor) == ("0", "dx")


class Changing(own.Stack):
    def forward(self, x: Any) -> Any:
        y = super().forward(x)
        x *= 2
        return y


def test_changed_arguments_and_lost_gradients_are_behaviour() -> None:
    layers = [own.Dense(5, 6), own.Relu(), own.Dense(6, 3)]
    verdict = oracle.compare(Changing(layers), two(nn.ReLU), *batch("float64"))
    found = {f.code: f for f in verdict.findings}
    assert "conduct:mutation" in found
    assert cell(verdict, "network", "behaviour").status == "wrong"

    class Partial(scratch.MLP):
        def backward(self, dy: Any, cache: Any) -> Any:
            dx, grads = super().backward(dy, cache)
            return dx, {"fc1.weight": grads["fc1.weight"]}

    twin = torchref.MLP((5, 3), dtype=torch.float64)
    verdict = oracle.compare(Partial((5, 3), dtype=np.float64), twin, *batch("float64"))
    assert (first(verdict).tensor, first(verdict).layer, first(verdict).missing) == ("dbias", "fc1", True)


def test_a_layer_that_changes_its_input_explains_what_it_returns() -> None:
    class Scaling(scratch.Linear):
        def forward(self, x: Any) -> Any:
            if x.flags.writeable:
                x *= 0.5
            return super().forward(x)

    mine = scratch.Sequential({"a": Scaling(5, 6, dtype=np.float64), "b": scratch.Linear(6, 3, dtype=np.float64)})
    twin = torchref.Sequential({"a": nn.Linear(5, 6), "b": nn.Linear(6, 3)})
    verdict = oracle.compare(mine, twin, *batch("float64"))
    assert {f.code for f in verdict.findings if f.layer == "a"} == {"conduct:mutation"}


def test_the_likely_mistakes_of_chains() -> None:
    def other(activation: Any, torchs: Any = None) -> str:
        class Other(scratch.Sequential):
            pass

        layers = {
            "a": scratch.Linear(5, 6, dtype=np.float64),
            "f": activation,
            "b": scratch.Linear(6, 3, dtype=np.float64),
        }
        twin = torchref.Sequential({"a": nn.Linear(5, 6), "f": torchs or torchref.Tanh(), "b": nn.Linear(6, 3)})
        return first(oracle.compare(scratch.Sequential(layers), twin, *batch("float64"))).code

    assert other(scratch.Logistic()) == "layer:other"
    assert other(scratch.Identity()) == "activation:missing"
    assert other(scratch.Tanh(), torchref.Identity()) == "layer:other"

    net = own.TwoLayerNet()
    codes = set()
    for twin in (
        nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3), nn.Softmax(1)),
        nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)),
    ):
        codes.add(first(oracle.compare(net, twin, *batch("float64"))).code)
    assert codes == {"activation:missing", "layer:other"}

    class Extra(own.TwoLayerNet):
        def loss(self, x: Any, y: Any = None) -> Any:
            return np.tanh(super().loss(x)) if y is None else super().loss(x, y)

    class Unbiased(own.TwoLayerNet):
        def loss(self, x: Any, y: Any = None) -> Any:
            return super().loss(x) - self.params["b2"] if y is None else super().loss(x, y)

    assert first(oracle.compare(Extra(), two(nn.ReLU), *batch("float64"))).code == "activation:extra"
    assert first(oracle.compare(Unbiased(), two(nn.ReLU), *batch("float64"))).code == "bias:missing"


def test_misplaced_and_extra_layers_are_named() -> None:
    layers = {"a": scratch.Linear(5, 5, dtype=np.float64), "g": scratch.ReLU(), "f": scratch.Tanh()}
    swapped = torchref.Sequential({"a": nn.Linear(5, 5), "f": torchref.Tanh(), "g": torchref.ReLU()})
    x = np.random.default_rng(0).normal(size=(4, 5))
    assert first(oracle.compare(scratch.Sequential(layers), swapped, x)).code == "layer:order"
    twin = torchref.Sequential({"a": nn.Linear(5, 5)})
    verdict = oracle.compare(scratch.Sequential({"a": layers["a"], "f": layers["f"]}), twin, x)
    assert "your layer f has no counterpart in torch's module" in verdict.remarks
    assert first(verdict).tensor == "forward"
