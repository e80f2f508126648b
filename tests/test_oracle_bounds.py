"""Every bound from both sides: an error of a third of it passes, one of three times it fails."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import torchref
from tests import own_networks as own
from tests.comparing import DTYPES, batch, cell, two
from torchref import oracle
from torchref.oracle import criteria, magnitude, measured
from torchref.oracle.comparison import Comparison
from torchref.oracle.diagnosis import hypothesis
from torchref.oracle.networks import chain, sizes
from torchref.oracle.networks.behaviour import Conduct
from torchref.oracle.networks.explaining import NOTHING, conduct_hint
from torchref.oracle.networks.followers import gradient
from torchref.oracle.networks.localising import forced_loss
from torchref.oracle.networks.passes import run

SIDES = pytest.mark.parametrize(("times", "passes"), [(1 / 3, True), (3.0, False)])
EPS = {dtype: float(np.finfo(dtype).eps) for dtype in DTYPES}
NET = two().double()
SAID = {"0.W": ("0.weight", "IO"), "2.W": ("2.weight", "IO")}


@SIDES
@pytest.mark.parametrize("dtype", DTYPES)
def test_bounds_of_single_criteria(dtype: str, times: float, passes: bool) -> None:
    eps = EPS[dtype]
    t = np.array([1.0, -2.0, 0.5], dtype)
    s, by = (
        np.array([3.0, 5.0, 4.0]),
        {
            "2": (8 + 3) * eps * 4.0,  # of 9 terms, elementwise
            "3": 4 * eps * 4.0,
            "4": 32 * eps * 5.0,  # of the largest
            "own": 256 * eps * 5.0,
            "9": 128 * eps * 5.0,
            "8": 1e-9 * 2.0,
        },
    )
    judges: dict[str, Callable[[Any], Comparison]] = {
        "2": lambda a: criteria.linear_operation("", a, t, s, np.full(3, 9)),
        "3": lambda a: criteria.elementwise("", a, t, s),
        "4": lambda a: criteria.network("", a, t, s),
        "own": lambda a: criteria.own_size("", a, t, s),
        "9": lambda a: measured.judge("", a, torch.from_numpy(t), 5.0),
        "8": lambda a: criteria.drift("", a, t),
    }
    for name, judge in judges.items():
        if (name, dtype) != ("8", "float32"):  # criterion 8 is of float64
            mine = t.copy()
            mine[2] += times * by[name]
            assert judge(mine).passed == passes, name


class Off(own.Dense):
    """A layer with one entry of one result a little off."""

    error: tuple[str, float] = ("", 0.0)

    def _off(self, name: str, array: Any) -> Any:
        array = np.array(array)
        array.flat[0] += self.error[1] if self.error[0] == name else 0.0
        return array

    def forward(self, x: Any) -> Any:
        return self._off("output/2", super().forward(x))

    def backward(self, dy: Any) -> Any:
        dx = self._off("dx/2", super().backward(dy))
        self.dW, self.db = self._off("grad/2.weight", self.dW), self._off("grad/2.bias", self.db)
        return dx


class Unseen:
    """A network of which no layer can be called alone: the free run is all there is."""

    def __init__(self, dtype: str) -> None:
        self._layers = [own.Dense(5, 6, dtype), own.Squash(), Off(6, 3, dtype)]
        for place in (0, 2):
            setattr(self, f"W{place}", self._layers[place].W)
            setattr(self, f"b{place}", self._layers[place].b)

    def forward(self, x: Any) -> Any:
        for place, layer in enumerate(self._layers):
            if place != 1:
                layer.W, layer.b = getattr(self, f"W{place}"), getattr(self, f"b{place}")
            x = layer.forward(x)
        return x

    def backward(self, dy: Any) -> Any:
        for layer in reversed(self._layers):
            dy = layer.backward(dy)
        for place in (0, 2):
            setattr(self, f"dW{place}", self._layers[place].dW)
            setattr(self, f"db{place}", self._layers[place].db)
        return dy


@SIDES
@pytest.mark.parametrize("name", ["output/2", "grad/2.weight", "grad/2.bias"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bound_of_whole_networks(dtype: str, name: str, times: float, passes: bool) -> None:
    x, target = batch(dtype)
    twin = two().to(getattr(torch, dtype))
    layers = chain.chain_of(chain.prepared(twin, twin[0].weight.dtype), torch.from_numpy(x)).layers
    largest = run(layers, torchref.CrossEntropy(), x, target).magnitudes[name].max()
    mine = Unseen(dtype)
    mine._layers[2].error = (name, times * 32 * EPS[dtype] * float(largest))
    said = {"W0": ("0.weight", "IO"), "W2": ("2.weight", "IO")}
    verdict = oracle.compare(mine, twin, x, target, map=said, my_loss=own.softmax_loss)
    assert verdict.passed == passes, str(verdict)


@SIDES
@pytest.mark.parametrize("name", ["loss", "doutput"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bound_of_a_loss_alone(dtype: str, name: str, times: float, passes: bool) -> None:
    output, target = batch(dtype, features=3)
    loss = torchref.CrossEntropy()
    right = forced_loss(loss, output, target, {"loss": np.zeros((), dtype), "doutput": output}, 0).oracle
    wide = torch.from_numpy(output).double()
    s = magnitude.loss(loss, wide, torch.from_numpy(target), torch.zeros_like(wide))
    bound = {"loss": (8 + output.size**0.5) * s.value.max(), "doutput": (8 + 3**0.5) * s.doutput[0, 0]}[name]
    mine = {key: np.array(array) for key, array in right.items()}
    mine[name].reshape(-1)[:1] += times * EPS[dtype] * float(bound)
    assert all(c.passed for c in forced_loss(loss, output, target, mine, 0).comparisons) == passes


@SIDES
@pytest.mark.parametrize("dtype", DTYPES)
def test_bound_of_a_step_of_training(dtype: str, times: float, passes: bool) -> None:
    """2 × lr·32·eps·S, the most that rounding of the gradient can do, and 8 roundings of the parameter itself."""
    x, target = batch(dtype)
    module = torchref.Sequential({"0": torchref.Linear(5, 3, dtype=getattr(torch, dtype))})
    loss, lr, eps = torchref.CrossEntropy(), 0.5, EPS[dtype]
    found = gradient(module, loss, x, target)
    new = {
        n: p.detach().numpy() - np.dtype(dtype).type(lr) * found.grads[n].numpy() for n, p in module.named_parameters()
    }
    old, after = module.get_parameter("0.weight").detach().numpy()[0, 0], new["0.weight"]
    bound = 2 * lr * 32 * eps * found.sizes["0.weight"] + 8 * eps * (abs(old) + abs(after[0, 0] - old))
    after[0, 0] += times * bound
    verdict = oracle.compare_training(lambda *_: new, module, torchref.SGD(lr), [(x, target)], steps=1, loss=loss)
    assert cell(verdict, "step1", "0.weight").passed == passes, str(verdict)


def test_what_is_measured_is_the_largest_of_enough_draws() -> None:
    """Of y = a·x, off by up to two shares and one of the product: one draw often sees next to nothing of it."""
    x = torch.ones(1)
    found = [
        measured.measure(measured.Function(lambda t: t * 1.5), [x], x, seed=seed, precision=torch.float32).y
        for seed in range(20)
    ]
    assert min(found) > 0.4
    assert max(found) <= 3 * 1.5
    spread = [
        float(sizes.forward(nn.Softplus(), x * seed, nn.functional.softplus(x * seed).double(), x.double()).max())
        for seed in (0.0, 1.0, 2.0)
    ]
    assert min(spread) > 0.4


class Worn(own.Stack):
    """Right but for the first layer's weights, which each backward pass changes when it is done."""

    def backward(self, dy: Any) -> Any:
        dx = super().backward(dy)
        self.layers[0].W *= 1.01
        return dx


def test_layers_alone_get_the_parameters_of_the_pass() -> None:
    mine = Worn([own.Dense(5, 6), own.Squash(), own.Dense(6, 3)])
    verdict = oracle.compare(mine, NET, *batch("float64"), map=SAID, my_loss=own.softmax_loss)
    assert not verdict.passed
    assert cell(verdict, "0", "forward").passed, str(verdict)
    assert [f.tensor for f in verdict.findings] == ["the network leaves its arguments alone"], str(verdict)


def test_how_a_layer_behaves_is_explained_only_if_it_does_so_again() -> None:
    wrong = Comparison("the layer leaves its arguments alone", "5 conduct", np.inf, "changes x")
    one, other = Conduct("fc", (wrong,)), Conduct("fc", ())
    assert conduct_hint(wrong.tensor, one, [one]).code == "conduct:mutation"
    assert conduct_hint(wrong.tensor, one, [other]) == NOTHING
    assert conduct_hint(wrong.tensor, one, [Conduct("other", (wrong,))]) == NOTHING


def looked(error: float, *, failed: bool, dtype: str = "float64") -> hypothesis.Seen:
    right = np.array([1.0, 0.5])
    trial: Any = SimpleNamespace(dtype=dtype)
    return hypothesis.Seen(trial, right + error, right, failed, True)


def test_how_near_a_prediction_must_be() -> None:
    seen = looked(1e-3, failed=True)
    for left, explains in ((3e-11, True), (3e-8, False)):
        assert hypothesis.met(seen, seen.mine + left) == explains
    seen = looked(1e-3, failed=True, dtype="float32")
    for left, explains in ((3e-6, True), (3e-5, False)):  # a hundredth of the error, which is less than the tolerance
        assert hypothesis.met(seen, seen.mine + left) == explains
    seen = looked(0.0, failed=False)
    for left, explains in ((3e-10, True), (3e-9, False)):
        assert hypothesis.met(seen, seen.mine + left) == explains
    small = looked(5e-10, failed=True)
    assert hypothesis.met(small, small.mine)
    assert not hypothesis.met(small, small.oracle)  # within the tolerance of what came, but the whole error is left
