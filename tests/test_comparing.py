"""Whole networks of any form against a torch module: right ones pass, as kinds too."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import scratch
import torchref
from tests import own_networks as own
from tests.comparing import DTYPES, batch, cell, first, two
from torchref import oracle


@pytest.mark.parametrize("dtype", DTYPES)
def test_networks_of_our_contract_pass(dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, target = batch(dtype, 9, 7, 4)
    mine = scratch.MLP((7, 6, 4), scratch.Tanh.lecun, dtype=np.dtype(dtype), rng=rng)
    twin = torchref.MLP((7, 6, 4), torchref.Tanh.lecun, dtype=getattr(torch, dtype))
    verdict = oracle.compare(mine, twin, x, target, loss=torchref.CrossEntropy(), my_loss=scratch.CrossEntropy())
    assert verdict.passed, str(verdict)
    assert [name for name, _ in verdict.diagram] == ["fc1", "f1", "fc2"]
    assert verdict.worst > 0
    for name, tensor in twin.named_parameters():  # torch's parameters are in mine afterwards
        np.testing.assert_array_equal(mine.parameters()[name], tensor.detach().numpy())


@pytest.mark.parametrize("dtype", DTYPES)
def test_stateful_layers_in_a_list_pass(dtype: str) -> None:
    mine = own.Stack([own.Dense(5, 6, dtype), own.Relu(), own.Dense(6, 3, dtype)])
    verdict = oracle.compare(mine, two(nn.ReLU), *batch(dtype), my_loss=own.SoftmaxLoss())
    assert verdict.passed, str(verdict)
    assert "0.W is 0.weight, laid out IO" in verdict.guesses
    assert all(row.cells["forward"].passed for row in verdict.rows if "forward" in row.cells)


def test_dense_targets_stay_with_their_samples() -> None:
    x, _ = batch("float64")
    target = np.random.default_rng(1).normal(size=(len(x), 3))
    mine = own.Stack([own.Dense(5, 6), own.Relu(), own.Dense(6, 3)])
    verdict = oracle.compare(mine, two(nn.ReLU), x, target, loss="mse")
    assert verdict.passed, str(verdict)
    with pytest.raises(ValueError, match="x has 0 samples"):
        oracle.compare(mine, two(nn.ReLU), x[:0], target[:0], loss="mse")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", [own.Joined, own.Flat])
def test_stateful_networks_pass_where_not_every_layer_can_be_seen(dtype: str, make: Any) -> None:
    verdict = oracle.compare(make(dtype), two(), *batch(dtype), my_loss=own.softmax_loss)
    assert verdict.passed, str(verdict)


@pytest.mark.parametrize("dtype", DTYPES)
def test_networks_with_their_loss_inside_pass(dtype: str) -> None:
    verdict = oracle.compare(own.TwoLayerNet(dtype), two(nn.ReLU), *batch(dtype))
    assert verdict.passed, str(verdict)
    assert cell(verdict, "loss", "forward").passed
    assert "the loss is cross-entropy, averaged over the batch" in verdict.guesses


def adapter(net: own.Flat, **more: Any) -> oracle.NetworkAdapter:
    def load(values: Any) -> None:
        net.W1, net.b1, net.W2, net.b2 = (np.array(values[name]) for name in ("A", "a", "B", "b"))

    return oracle.NetworkAdapter(
        parameters=lambda: {"A": net.W1, "a": net.b1, "B": net.W2, "b": net.b2},
        load=load,
        forward=net.forward,
        backward=net.backward,
        gradients=lambda: {"A": net.dW1, "a": net.db1, "B": net.dW2, "b": net.db2},
        **more,
    )


def dx_of(net: own.Flat, dy: Any) -> Any:
    return (dy @ net.W2.T * (1 - net.h**2)) @ net.W1.T


def test_an_adapter_says_how_a_network_is_driven() -> None:
    net = own.Flat()
    traced = adapter(net, trace=lambda x: {"squashed": np.tanh(x @ net.W1 + net.b1)}, layers={"0": own.Dense(5, 6)})
    said = {"A": ("0.weight", "IO"), "a": "0.bias", "B": ("2.weight", "IO"), "b": "2.bias", "squashed": "1"}
    verdict = oracle.compare(adapter(net), two(), *batch("float64"), map=said, my_loss=own.softmax_loss)
    assert verdict.passed, str(verdict)
    assert not [text for text in verdict.guesses if "weight" in text]
    verdict = oracle.compare(traced, two(), *batch("float64"), map=said)
    assert {f.layer for f in verdict.findings} == {"0"}  # a layer of zeros, which was never loaded
    passing = adapter(net)
    giving = oracle.NetworkAdapter(**{**vars(passing), "backward": lambda dy: (net.backward(dy), dx_of(net, dy))[1]})
    assert oracle.compare(giving, two(), *batch("float64"), map=said).passed
    full = adapter(net, trace=lambda x: {"squashed": np.tanh(x @ net.W1 + net.b1)})
    assert cell(oracle.compare(full, two(), *batch("float64"), map=said), "1", "forward").passed


def test_functions_between_torchs_layers_are_recognised() -> None:
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(3, 1, 8, 8))
    layers = {
        "conv": scratch.Conv2d(1, 2, 3, dtype=np.float64),
        "f": scratch.ReLU(),
        "pool": scratch.MaxPool2d(2),
        "flat": scratch.Flatten(),
        "fc": scratch.Linear(18, 4, dtype=np.float64),
    }
    verdict = oracle.compare(scratch.Sequential(layers), own.Custom(), x, np.array([0, 3, 1]))
    assert verdict.passed, str(verdict)
    assert any("relu, maxpool, flatten" in text for text in verdict.guesses), verdict.guesses


def test_lenet5_passes_with_dropped_units_and_without_a_target() -> None:
    x = np.random.default_rng(0).normal(size=(5, 6))
    mine = scratch.MLP((6, 8, 3), dropout=0.5, dtype=np.float64)
    twin = torchref.MLP((6, 8, 3), dropout=0.5, dtype=torch.float64)
    masks = {"d1": np.random.default_rng(1).random((5, 8)) < 0.5}
    verdict = oracle.compare(mine, twin, x, masks=masks)
    assert verdict.passed, str(verdict)
    assert "no target: a random upstream gradient is given to backward" in verdict.guesses
    assert oracle.compare(mine, twin, x).passed


@pytest.mark.parametrize(("like", "name"), [("mlp", "MLP"), ("LeNet-5", "LeNet5")])
def test_networks_are_kinds(like: str, name: str) -> None:
    verdict = oracle.check(
        getattr(scratch, name), like=like, dtypes="float64", cases="plain" if like == "mlp" else "n1"
    )
    assert verdict.passed, str(verdict)
    assert verdict.like == like.lower().replace("-", "")


def test_a_network_kind_takes_places_of_code_objects_and_what_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "homework.py").write_text(
        "import scratch, numpy as np\n\nclass Net(scratch.MLP):\n"
        "    def __init__(self, layers):\n        super().__init__(layers, dtype=np.float64)\n"
    )
    place = f"{tmp_path}/homework.py:Net"
    verdict = oracle.check(place, like="mlp", dtypes="float64", cases=["plain", "one-hidden"])
    assert verdict.passed, str(verdict)
    assert {row.slug.split(":")[0] for row in verdict.rows} == {"plain", "one-hidden"}
    assert oracle.check(scratch.MLP((7, 6, 5, 4), dtype=np.float64), like="mlp", cases="plain", dtypes="float64").passed

    class Undone:
        def __init__(self) -> None:
            raise NotImplementedError

    undone = first(oracle.check(Undone, like="lenet5", cases="n1", dtypes="float64"))
    assert undone.missing
    assert "is no network" in first(oracle.check(dict, like="mlp", cases="n1", dtypes="float64")).fault
    with pytest.raises(ValueError, match="no case 'plane', expected one of plain, one-hidden, linear, equal, n1"):
        oracle.check(scratch.MLP, like="mlp", cases="plane")


def perceptron(transposed: bool = False) -> Any:
    """Plain layers in a list, made of sizes; weights (in, out), or (out, in)."""

    class Dense(own.Dense):
        def __init__(self, n: int, m: int) -> None:
            super().__init__(n, m)
            if transposed:
                self.W = np.zeros((m, n))

        def forward(self, x: Any) -> Any:
            self.x = x
            return x @ (self.W.T if transposed else self.W) + self.b

        def backward(self, dy: Any) -> Any:
            dx = dy @ (self.W if transposed else self.W.T)
            self.dW, self.db = self.x.T @ dy, dy.sum(axis=0, keepdims=True)
            self.dW = self.dW.T if transposed else self.dW
            return dx

    class Perceptron(own.Stack):
        def __init__(self, sizes: Any) -> None:
            layers = [part for n, m in pairwise(sizes) for part in (own.Squash(), Dense(n, m))]
            super().__init__(layers[1:])

    return Perceptron


@pytest.mark.parametrize("transposed", [True, False])
def test_how_square_weights_are_laid_out_is_seen_in_the_other_cases(transposed: bool) -> None:
    net = perceptron(transposed)
    verdict = oracle.check(net, like="mlp", dtypes="float32", cases=["equal", "n1"])
    assert verdict.passed, str(verdict)
    assert "your parameters are float64 and x float32: all is done in float64" in verdict.remarks
    weight = "OI" if transposed else "IO"
    assert oracle.check(net, like="mlp", weight=weight, dtypes="float64", cases="equal").passed
    other = first(oracle.check(net, like="mlp", weight=weight[::-1], dtypes="float64", cases="n1"))
    assert "in no layout" in other.what
    with pytest.raises(ValueError, match=r"0.W may be OI or IO: .* weight='IO'"):
        oracle.check(net, like="mlp", dtypes="float64", cases="equal")


def test_what_a_network_kind_does_not_use_is_refused() -> None:
    for option in (
        {"layout": "CN"},
        {"bias": "1O"},
        {"arguments": {"z": "x"}},
        {"unsupported": "bias"},
        {"strict": True},
    ):
        with pytest.raises(ValueError, match=f"{next(iter(option))}: like='mlp' is a whole network"):
            oracle.check(scratch.MLP, like="mlp", **option)
    with pytest.raises(ValueError, match="backward: like='mlp'"):
        oracle.check(scratch.MLP, scratch.MLP, like="mlp")
    for weight in ("XY", "O", "IO OIX"):
        with pytest.raises(ValueError, match="expected an order of the letters OI, OIW or OIHW"):
            oracle.check(scratch.MLP, like="mlp", weight=weight)
