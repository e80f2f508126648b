"""What is wrong with a network is found where it is, and what follows from it is inherited."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import torchref
from tests import mutants
from tests import own_networks as own
from tests.comparing import batch, cell, first, two
from torchref import oracle


class Scaled(own.Dense):
    def backward(self, dy: Any) -> Any:
        dx = super().backward(dy)
        self.dW = self.dW / len(dy)
        return dx


def test_a_layer_that_is_wrong_alone_is_named_and_the_rest_is_not() -> None:
    mine = own.Stack([Scaled(5, 6), own.Relu(), own.Dense(6, 3)])
    verdict = oracle.compare(mine, two(nn.ReLU), *batch("float64"))
    assert [(f.layer, f.tensor, f.code) for f in verdict.findings] == [("0", "dweight", "ratio:1/N")]
    assert Path(verdict.findings[0].saved).exists()
    assert verdict.findings[0].picture is not None


class Doubled(own.Dense):
    def forward(self, x: Any) -> Any:
        return 2 * super().forward(x)


def test_what_follows_a_wrong_layer_is_inherited() -> None:
    mine = own.Stack([Doubled(5, 6), own.Relu(), own.Dense(6, 3)])
    verdict = oracle.compare(mine, two(nn.ReLU), *batch("float64"), my_loss=own.softmax_loss)
    assert {(f.layer, f.tensor) for f in verdict.findings} == {("0", "forward")}
    assert cell(verdict, "0", "forward").status == "wrong"
    assert cell(verdict, "2", "forward").status == "inherited"
    assert cell(verdict, "2", "dweight").status == "inherited"


def test_two_mistakes_in_layers_that_cannot_be_called_alone_are_told_apart() -> None:
    verdict = oracle.compare(own.Flat(scale=2.0), two(), *batch("float64"), my_loss=own.softmax_loss)
    assert [(f.layer, f.tensor) for f in verdict.findings] == [("2", "dweight"), ("2", "dbias")]
    assert [f.code for f in verdict.findings] == ["ratio:2", "ratio:2"]


def test_a_loss_that_is_not_averaged_is_found_at_the_last_layer() -> None:
    net = own.TwoLayerNet()
    net.averaged = False
    verdict = oracle.compare(net, two(nn.ReLU), *batch("float64"))
    assert (first(verdict).layer, first(verdict).tensor, first(verdict).code) == ("2", "dweight", "ratio:N")
    assert cell(verdict, "0", "dweight").status == "inherited"


def test_a_missing_activation_inside_is_told_from_the_output() -> None:
    net = own.TwoLayerNet()
    net.squash = False
    verdict = oracle.compare(net, two(nn.ReLU), *batch("float64"))
    assert (first(verdict).layer, first(verdict).tensor, first(verdict).code) == ("1", "forward", "activation:missing")
    assert cell(verdict, "2", "dweight").status == "inherited"


def test_a_derivative_left_out_inside_is_told_from_the_gradients() -> None:
    net = own.TwoLayerNet()
    net.masked = False
    verdict = oracle.compare(net, two(nn.ReLU), *batch("float64"))
    assert {f.code for f in verdict.findings} == {"slope:missing"}
    assert "back through 1 f′ is missing" in first(verdict).hint


def test_how_to_compare_again_is_said() -> None:
    mine = own.Stack([Scaled(5, 6), own.Relu(), own.Dense(6, 3)])
    verdict = oracle.compare(
        mine, two(nn.ReLU), *batch("float64"), map={"0": "0"}, weight="IO", my_loss=own.softmax_loss, seed=3
    )
    assert first(verdict).reproduce == (
        "oracle.compare(mine, torch_module, x, target, my_loss=my_loss, map={'0': '0'}, weight='IO', seed=3)"
        "  # see 0; with your own mine, torch_module, x, target, my_loss"
    )
    unnamed = oracle.check(lambda: own.Stack([Scaled(3, 4)]), like="mlp", cases="linear", dtypes="float64")
    assert first(unnamed).reproduce == 'oracle.check(your_network, like="mlp", cases="linear", seed=0)'


class Summed(own.Dense):
    def backward(self, dy: Any) -> Any:
        before = self.dW
        dx = super().backward(dy)
        if before is not None:
            self.dW = self.dW + before
        return dx


class Remembering(own.Stack):
    def __init__(self, layers: list[Any]) -> None:
        super().__init__(layers)
        self.kept: Any = None

    def forward(self, x: Any) -> Any:
        y = super().forward(x)
        self.kept = len(y) if self.kept is None else self.kept
        return y * (len(y) / self.kept)


def test_memory_of_earlier_calls_shows_in_the_second() -> None:
    mine = own.Stack([Summed(5, 6), own.Relu(), own.Dense(6, 3)])
    verdict = oracle.compare(mine, two(nn.ReLU), *batch("float64"))
    assert first(verdict).layer == "0"
    assert {f.code for f in verdict.findings} == {"memory:accumulated"}
    verdict = oracle.compare(
        Remembering([own.Dense(5, 6), own.Relu(), own.Dense(6, 3)]), two(nn.ReLU), *batch("float64")
    )
    assert "first in another call" in first(verdict).what


class Forgetful(own.Stack):
    """Adds up its gradients, and says how to clear them."""

    def zero_grad(self) -> None:
        for layer in self.layers[::2]:
            layer.dW = None


def test_gradients_are_cleared_where_there_is_a_way() -> None:
    mine = Forgetful([Summed(5, 6), own.Relu(), own.Dense(6, 3)])
    assert oracle.compare(mine, two(nn.ReLU), *batch("float64"), my_loss=own.softmax_loss).rows


PLANTED = {
    "a layer's error signal not passed on": ("chain", ("dx", "chain:not-passed")),
    "layers run backward in forward order": ("chain", ("dx", "chain:order")),
    "gradients under the next layer's name": ("chain", ("dweight", "chain:names")),
    "δ without f′ (tanh)": ("chain", ("dx", "slope:missing")),
    "bias gradient averaged over the batch": ("chain", ("dbias", "ratio:1/N")),
    "input kept on the layer (stale cache)": ("chain", ("rerun", "memory:stale-cache")),
    "no bias in the MLP": ("chain", ("forward", "bias:missing")),
    "the MLP ignores the dtype": ("chain", ("forward", "precision:float32")),
    "an activation after the logits": ("chain", ("forward", "layer:extra")),
    "no squashing behind c3": ("lenet5", ("forward", "activation:missing")),
    "convolution's dW of the first place only": ("lenet5", ("dweight", "")),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_bugs_are_found_where_they_are(name: str, tmp_path: Path) -> None:
    kind, (tensor, code) = PLANTED[name]
    bug = next(bug for bug in mutants.MUTANTS if bug.name == name)
    with mutants.mutated(bug, tmp_path) as wing, np.errstate(all="ignore"):
        if kind == "lenet5":
            x, target = np.random.default_rng(0).normal(size=(2, 1, 28, 28)), np.array([3, 8])
            mine, twin = wing.LeNet5(dtype=np.float64), torchref.LeNet5(dtype=torch.float64)
        else:
            x, target = batch("float64", 6, 5, 5)
            mine, twin = wing.MLP((5, 5, 5), dtype=np.float64), torchref.MLP((5, 5, 5), dtype=torch.float64)
        verdict = oracle.compare(mine, twin, x, target)
    assert first(verdict).tensor == tensor, str(verdict)
    assert not code or code in {f.code for f in verdict.findings}, str(verdict)
