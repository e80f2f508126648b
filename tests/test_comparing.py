"""Whole networks of any form against a torch module: right ones pass, and what is wrong is found where it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import scratch
import torchref
from tests import mutants
from tests import own_networks as own
from torchref import oracle
from torchref.oracle.verdict import Finding, Verdict

DTYPES = ("float64", "float32")


def batch(dtype: str, samples: int = 7, features: int = 5, classes: int = 3, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, features)).astype(dtype), rng.integers(0, classes, samples)


def two(activation: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), activation(), nn.Linear(6, 3))


def first(verdict: Verdict) -> Finding:
    assert not verdict.passed
    return verdict.findings[0]


def cell(verdict: Verdict, slug: str, column: str) -> Any:
    return next(row for row in verdict.rows if row.slug == slug).cells[column]


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
    with pytest.raises(ValueError, match="no case 'plane'"):
        oracle.check(scratch.MLP, like="mlp", cases="plane")


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
    assert [f.code for f in verdict.findings] == ["ratio:2", "bias:doubled"]


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
    x[0] = 0  # fc1 has no bias there, so all of its units stand at 0

    class Loose(own.Dense):
        def backward(self, dy: Any) -> Any:
            return super().backward(dy) * 2

    twin = two(nn.ReLU)
    with torch.no_grad():
        twin[0].bias.zero_()
    mine = own.Stack([own.Dense(5, 6), own.Relu(), own.Dense(6, 3)])
    verdict = oracle.compare(mine, twin, x)
    assert verdict.passed, str(verdict)
    assert any("x is too near a kink of 1" in text for text in verdict.remarks)
    verdict = oracle.compare(own.Stack([Loose(5, 6), own.Relu(), own.Dense(6, 3)]), twin, x + 1e-300)
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


class Hidden:
    """A network whose layers nobody can see."""

    def __init__(self, layers: dict[str, Any]) -> None:
        self._net = scratch.Sequential(layers)

    def forward(self, x: Any) -> Any:
        return self._net.forward(x)

    def backward(self, dy: Any, cache: Any) -> Any:
        return self._net.backward(dy, cache)

    def parameters(self) -> dict[str, Any]:
        return self._net.parameters()


def maps(wing: Any, dtype: Any, squash: Any = None) -> dict[str, Any]:
    table = ((True, False), (True, True), (False, True))
    return {
        "conv": wing.Conv2d(2, 3, 2, connections=table, dtype=dtype),
        "f": squash or wing.Tanh(),
        "flat": wing.Flatten(),
        "fc": wing.Linear(12, 3, dtype=dtype),
    }


def test_networks_of_maps_that_show_no_layers() -> None:
    x = np.random.default_rng(0).normal(size=(4, 2, 3, 3))
    twin = torchref.Sequential(maps(torchref, torch.float64))
    assert oracle.compare(Hidden(maps(scratch, np.float64)), twin, x).passed
    bare = oracle.compare(Hidden(maps(scratch, np.float64, scratch.Identity())), twin, x)
    assert (first(bare).layer, first(bare).code) == ("f", "activation:missing")

    class Leaking(Hidden):
        def backward(self, dy: Any, cache: Any) -> Any:
            dx, grads = super().backward(dy, cache)
            grads["conv.weight"] = grads["conv.weight"] + 1e-30
            return dx, grads

    leaking = oracle.compare(Leaking(maps(scratch, np.float64)), twin, x)
    assert (first(leaking).layer, first(leaking).tensor) == ("conv", "dweight")
    assert "oracle 0, error 1e-30, allowed 0" in first(leaking).what

    class Upright(Hidden):
        def forward(self, x: Any) -> Any:
            y, cache = super().forward(x)
            return y[:, :, None], cache

        def backward(self, dy: Any, cache: Any) -> Any:
            return super().backward(dy.reshape(len(dy), -1), cache)

    assert "shape (4, 3, 1)" in first(oracle.compare(Upright(maps(scratch, np.float64)), twin, x)).fault


def test_one_layer_may_do_the_work_of_several() -> None:
    class Flattening(own.Dense):
        def forward(self, x: Any) -> Any:
            self.shape = x.shape
            return super().forward(x.reshape(len(x), -1))

        def backward(self, dy: Any) -> Any:
            return super().backward(dy).reshape(self.shape)

    class Wrong(Flattening):
        def backward(self, dy: Any) -> Any:
            dx = super().backward(dy)
            self.db = self.db * 3
            return dx

    x = np.random.default_rng(0).normal(size=(4, 2, 3))
    twin = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2))
    layers = [Flattening(6, 4), own.Squash(), own.Dense(4, 2)]
    assert oracle.compare(own.Stack(layers), twin, x).passed
    wrong = oracle.compare(own.Stack([Wrong(6, 4), *layers[1:]]), twin, x)
    assert [(f.layer, f.tensor) for f in wrong.findings] == [("1", "dbias")]


def test_behaviour_of_networks_and_losses_inside_them() -> None:
    class Doubled(own.TwoLayerNet):
        def loss(self, x: Any, y: Any = None) -> Any:
            result = super().loss(x, y)
            return result if y is None else (2 * result[0], result[1])

    assert [f.tensor for f in oracle.compare(Doubled(), two(nn.ReLU), *batch("float64")).findings] == ["loss"]

    class Sticky(scratch.Linear):
        def forward(self, x: Any) -> Any:
            self.x = x
            return super().forward(x)

        def backward(self, dy: Any, cache: Any) -> Any:
            return super().backward(dy, cache._replace(x=self.x))

    twin = torchref.Sequential({"a": nn.Linear(5, 3)})
    mine = scratch.Sequential({"a": Sticky(5, 3, dtype=np.float64)})
    found = first(oracle.compare(mine, twin, *batch("float64")))
    assert (found.layer, found.code) == ("a", "memory:stale-cache")

    class Noisy(scratch.Linear):
        rng = np.random.default_rng(0)

        def forward(self, x: Any) -> Any:
            y, cache = super().forward(x)
            return y * (1 + 1e-16 * self.rng.choice((-2, 2), y.shape)), cache

    noisy = oracle.compare(scratch.Sequential({"a": Noisy(5, 3, dtype=np.float64)}), twin, *batch("float64"))
    assert {(f.layer, f.code) for f in noisy.findings} >= {("a", "")}


def test_what_no_hypothesis_fits_is_unexplained() -> None:
    class Odd(own.Dense):
        def forward(self, x: Any) -> Any:
            return super().forward(x) + np.sin(17 * x[:, :1])

    verdict = oracle.compare(own.Stack([Odd(5, 6), own.Relu(), own.Dense(6, 3)]), two(nn.ReLU), *batch("float64"))
    assert (first(verdict).layer, first(verdict).tensor, first(verdict).code) == ("0", "forward", "")

    class Listing(own.Relu):
        def backward(self, dy: Any) -> Any:
            return super().backward(dy).tolist()

    class Converting(own.Stack):
        def backward(self, dy: Any) -> Any:
            for layer in reversed(self.layers):
                dy = np.asarray(layer.backward(dy))
            return dy

    mine = Converting([own.Dense(5, 6), Listing(), own.Dense(6, 3)])
    verdict = oracle.compare(mine, two(nn.ReLU), *batch("float64"))
    assert "expected an array" in first(verdict).fault


def test_where_every_draw_is_at_a_kink_only_layers_are_judged() -> None:
    x = np.random.default_rng(0).normal(size=(4, 5))
    x[:, 0] = 0
    verdict = oracle.compare(own.Stack([own.Relu()]), nn.Sequential(nn.ReLU()), x)
    assert verdict.passed
    assert len([text for text in verdict.remarks if "too near a kink" in text]) == 3
    assert [row.slug for row in verdict.rows] == ["0", "network"]
