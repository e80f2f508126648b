"""Networks whose layers cannot be seen, do the work of several, or remember."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import scratch
import torchref
from tests import own_networks as own
from tests.comparing import batch, first, two
from torchref import oracle


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


def test_where_every_draw_is_at_a_kink_only_layers_are_judged_and_that_is_no_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torchref.oracle.networks.sizes.near_kink", lambda *_: True)
    x = np.random.default_rng(0).normal(size=(4, 5))
    verdict = oracle.compare(own.Stack([own.Relu()]), nn.Sequential(nn.ReLU()), x)
    assert [finding.tensor for finding in verdict.findings] == ["the whole network"]
    assert len([text for text in verdict.remarks if "too near a kink" in text]) == 3
    assert [row.slug for row in verdict.rows] == ["0", "network"]
