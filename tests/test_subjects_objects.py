"""Layers as objects or by adapters, and what of them cannot be called."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import handwritten as hand
from tests.test_subjects import plain
from torchref import oracle

__all__ = ["plain"]


# --- Adapters. ---
def linear_by_torch(layer: Any, x: Any) -> Any:
    y = torch.nn.functional.linear(x.requires_grad_(), *layer)
    return y, (y, x)


def backward_by_torch(layer: Any, dy: Any, cache: Any) -> Any:
    y, x = cache
    return torch.autograd.grad(y, [x, *layer], dy, retain_graph=True)


TORCH = oracle.Adapter(
    make=lambda weight, bias: [weight.requires_grad_(), bias.requires_grad_()],
    forward=linear_by_torch,
    backward=backward_by_torch,
    array=torch.tensor,
)


def test_an_adapter_brings_in_another_library() -> None:
    assert oracle.check(TORCH, like="linear", cases="plain equal").passed


def test_an_adapter_of_functions() -> None:
    def forward(x: Any, w: Any, b: Any) -> Any:
        assert isinstance(x, torch.Tensor)
        return x @ w.T + b, (x, w)

    def backward(dout: Any, cache: Any) -> Any:
        x, w = cache
        return dout @ w, dout.T @ x, dout.sum(0)

    adapter = oracle.Adapter(forward=forward, backward=backward, array=torch.tensor)
    verdict = oracle.check(adapter, like="linear", cases="plain n1")
    assert verdict.passed
    assert verdict.title == "Adapter"
    assert oracle.check(
        oracle.Adapter(forward=forward, backward=None, array=torch.tensor), like="linear", cases="n1"
    ).passed
    with pytest.raises(ValueError, match="an Adapter without make needs functions as forward and backward"):
        oracle.check(oracle.Adapter(forward=forward), like="linear")


class Odd:
    """Names that nobody would guess."""

    def __init__(self, a: int, z: int) -> None:
        self.store = {"first": np.zeros((z, a)), "second": np.zeros(z)}
        self.found: Any = {}

    def run(self, x: Any) -> Any:
        self.seen = x
        return x @ self.store["first"].T + self.store["second"]

    def unrun(self, dy: Any) -> Any:
        self.found = {"one": dy.T @ self.seen, "two": dy.sum(axis=0)}
        return dy @ self.store["first"]


ODD: dict[str, Any] = {
    "make": Odd,
    "arguments": {"a": "in_features", "z": "out_features"},
    "forward": "run",
    "backward": "unrun",
}


@pytest.mark.parametrize(
    ("parameters", "gradients", "dtypes"),
    [
        ({"weight": "store.first", "bias": "store.second"}, {"weight": "found.one", "bias": "found.two"}, "float32"),
        (
            lambda layer: {"weight": layer.store["first"], "bias": layer.store["second"]},
            lambda layer: {"weight": layer.found["one"], "bias": layer.found["two"]},
            "float64",
        ),
    ],
)
def test_an_adapter_says_where_things_are(parameters: Any, gradients: Any, dtypes: str) -> None:
    adapter = oracle.Adapter(parameters=parameters, gradients=gradients, **ODD)
    verdict = oracle.check(adapter, like="linear", cases="plain n1 equal", dtypes=dtypes)
    assert verdict.passed, str(verdict)


def test_an_adapter_that_is_wrong_is_said(plain: Any) -> None:
    wrong = oracle.Adapter(parameters=lambda layer: layer.store, **ODD)
    assert "raises KeyError: 'weight'" in plain(wrong).replace("in 4 of 4 runs, 1 of 1 case; at worst ", "")
    assert "raises AttributeError" in plain(oracle.Adapter(parameters={"weight": "shop.first", "bias": "x"}, **ODD))
    found = {"weight": "store.first", "bias": "store.second"}
    assert "raises AttributeError" in plain(oracle.Adapter(parameters=found, gradients={"weight": "at.one"}, **ODD))
    assert "keeps no weight and no bias on the layer" in plain(oracle.Adapter(**ODD))


class Attributed:
    """Parameters in an attribute of an attribute."""

    def __init__(self, in_features: int, out_features: int) -> None:
        self.inner = hand.Wrapped(in_features, out_features)

    def forward(self, x: Any) -> Any:
        return self.inner.forward(x)

    def backward(self, dout: Any, cache: Any) -> Any:
        dx = self.inner.backward(dout, cache)
        return dx, self.inner.w.grad, self.inner.b.grad


def test_paths_go_through_attributes() -> None:
    paths = {"weight": "inner.w.data", "bias": "inner.b.data"}
    assert oracle.check(oracle.Adapter(make=Attributed, parameters=paths), like="linear", cases="plain").passed


# --- Objects with what courses do to them. ---
class WrappedInDict(hand.Wrapped):
    """The same objects with data and grad, in a dict."""

    def __init__(self, nin: int, nout: int) -> None:
        super().__init__(nin, nout)
        self.params = {"w": self.w, "b": self.b}
        self.weights, self.offset = self.w, self.b
        del self.w, self.b

    def forward(self, x: Any) -> Any:
        return x @ self.params["w"].data.T + self.params["b"].data, x

    def backward(self, dout: Any, cache: Any) -> Any:
        self.params["w"].grad, self.params["b"].grad = dout.T @ cache, dout.sum(axis=0)
        return dout @ self.params["w"].data


class Touchy(hand.InDicts):
    """Some of its properties cannot be read."""

    @property
    def weights(self) -> Any:
        raise RuntimeError("not now")

    grad = params_ = parameters = output = weights


def test_parameters_and_gradients_are_found() -> None:
    assert oracle.check(WrappedInDict, like="linear", cases="plain n1").passed
    assert oracle.check(Touchy, like="linear", cases="plain n1").passed
    assert oracle.check(lambda: hand.Sigmoid(), like="sigmoid", cases="plain").passed
    assert oracle.check(
        lambda in_features, out_features: hand.InDicts(in_features, out_features), like="linear", cases="n1"
    ).passed


class Silent(hand.Affine):
    def forward(self, x: Any) -> None:  # type: ignore[override]
        super().forward(x)


class Vague(hand.Affine):
    def backward(self, dout: Any) -> None:  # type: ignore[override]
        super().backward(dout)


class Unset(hand.Affine):
    def backward(self, dout: Any) -> Any:
        return dout @ self.W.T


class Cacheless(hand.Affine):
    def backward(self, dout: Any, cache: Any) -> Any:  # type: ignore[override]
        assert cache
        return super().backward(dout)


class Raising(hand.Affine):
    def __init__(self, W: Any, b: Any) -> None:
        raise RuntimeError(f"no {W.shape} {b.shape}")


class Unwritten(hand.Affine):
    def __init__(self, W: Any, b: Any) -> None:
        raise NotImplementedError


class Stuck(hand.Affine):
    def __init__(self, W: Any, b: Any) -> None:
        super().__init__(W, b)
        time.sleep(9)


def test_what_objects_do_not_do_is_said(plain: Any) -> None:
    options = {"weight": "IO"}
    assert "forward" in plain(Silent, **options)
    assert "returns None" in plain(Silent, **options)
    assert "returns None, and leaves no gradient of x" in plain(Vague, **options)
    assert "returns no gradient of weight, bias" in plain(Unset, **options)
    assert "returns no cache, which backward asks for" in plain(Cacheless, **options)
    assert "construction" in plain(Raising, **options)
    assert "raises RuntimeError: no (5, 4) (4,)" in plain(Raising, **options)
    assert "raises NotImplementedError" in plain(Unwritten, **options)
    assert "runs longer than 0.1 s" in plain(Stuck, time_limit=0.1, **options)


def test_a_class_that_refuses_the_first_case_is_asked_the_others(tmp_path: Path) -> None:
    def make(nin: int, nout: int) -> Any:
        if nin == 5:
            raise ValueError("not five")
        return hand.InDicts(nin, nout)

    verdict = oracle.check(make, like="linear", cases="plain equal", save_to=tmp_path)
    assert [row.cells["forward"].passed for row in verdict.rows] == [False, True]


class Pool:
    """With its settings on it."""

    def __init__(self, pool_size: Any, stride: Any, colour: str = "red") -> None:
        self.pool_size, self.stride, self.colour = pool_size, stride, colour

    def forward(self, x: Any) -> Any:
        return hand.windows(x, hand.pair_of(self.pool_size), self.stride).max(axis=(4, 5))


class Tanh:
    def __call__(self, x: Any) -> Any:
        return np.tanh(x)


def test_one_object_is_asked_what_it_is_configured_for() -> None:
    verdict = oracle.check(Pool(3, 2), like="maxpool2d")
    assert verdict.passed
    skipped = {row.slug: row.skipped for row in verdict.rows}
    assert skipped["overlap"] == ""
    assert skipped["plain"] == "the object has kernel_size 3, not 2"
    skipped = {row.slug: row.skipped for row in oracle.check(Tanh(), like="tanh").rows}
    assert skipped["plain"] == ""
    assert skipped["a0.7-b2"] == "the object shows no a"
    with pytest.raises(ValueError, match="the object has no bias"):
        oracle.check(hand.InDicts(5, 4, bias=False), like="linear", cases="plain")
    assert oracle.check(hand.InDicts(5, 4, bias=False), like="linear", cases="nobias").passed
    with pytest.raises(ValueError, match="the object has a bias"):
        oracle.check(hand.InDicts(5, 4), like="linear", cases="nobias")
    with pytest.raises(ValueError, match="the object has no weight"):
        oracle.check(Tanh(), like="linear")
    dense = hand.Dense(5, 4)
    assert oracle.check(dense, like="linear", cases="plain", weight="IO", bias="1O").passed


class Convolution:
    """Has no table of connections."""

    def __init__(self, n_in: int, n_out: int, kernel_size: Any, stride: Any = 1, padding: Any = 0) -> None:
        kh, kw = hand.pair_of(kernel_size)
        self.W, self.b = np.zeros((n_out, n_in, kh, kw)), np.zeros(n_out)
        self.stride, self.padding = stride, padding

    def forward(self, x: Any) -> Any:
        out, self.cache = hand.conv_forward(x, self.W, self.b, self.stride, self.padding)
        return out

    def backward(self, dout: Any) -> Any:
        dx, self.dW, self.db = hand.conv_backward(dout, self.cache)
        return dx


def test_a_convolution_without_a_table() -> None:
    verdict = oracle.check(Convolution, like="conv2d", cases="s2p1 table")
    assert {row.slug: row.skipped for row in verdict.rows} == {
        "s2p1": "",
        "table": "Convolution takes no table of connections",
    }
    assert verdict.passed


def test_an_optimiser_may_give_back_nothing_for_its_state() -> None:
    assert oracle.check(lambda w, dw, lr: (w - lr * dw, None), like="sgd").passed


class Anything:
    """Has every attribute, and none that can be listed."""

    @property
    def __signature__(self) -> Any:
        raise RuntimeError

    def __getattr__(self, name: str) -> Any:
        return Anything()

    def __dir__(self) -> Any:
        raise RuntimeError

    def __call__(self, x: Any) -> Any:
        return np.tanh(x)


def test_objects_that_cannot_be_looked_at() -> None:
    verdict = oracle.check(Anything(), like="tanh", cases="plain n1")
    assert verdict.passed
    assert verdict.title == "Anything"


def test_normalisation_as_cs231n_has_it() -> None:
    def forward(x: Any, gamma: Any, beta: Any, bn_param: Any) -> Any:
        assert bn_param["mode"] == "train"
        eps = bn_param.get("eps", 1e-5)
        spread = np.sqrt(x.var(axis=0) + x.dtype.type(eps))
        normal = (x - x.mean(axis=0)) / spread
        return gamma * normal + beta, (normal, gamma, spread)

    def backward(dout: Any, cache: Any) -> Any:
        normal, gamma, spread = cache
        dnormal = dout * gamma
        dx = (dnormal - dnormal.mean(axis=0) - normal * (dnormal * normal).mean(axis=0)) / spread
        return dx, (dout * normal).sum(axis=0), dout.sum(axis=0)

    verdict = oracle.check(forward, backward, like=torch.nn.BatchNorm1d(4), shape=(7, 4))
    assert verdict.passed, str(verdict)


def test_what_can_be_made_the_second_time_only(plain: Any) -> None:
    made: list[int] = []

    def make(in_features: int, out_features: int) -> Any:
        made.append(in_features)
        if len(made) == 1:
            raise NotImplementedError
        return hand.InDicts(in_features, out_features)

    assert "raises NotImplementedError" in plain(make)
