"""The oracle on maps: each verdict can fail, a broken layer is found inside a network, dropped units are the same."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import scratch
import torchref
from tests import harness
from tests.cases import TABLE
from tests.test_oracle import Wrong
from torchref import oracle
from torchref.oracle import criteria, finite_difference
from torchref.oracle.comparison import Report
from torchref.oracle.layer import gradients


def pair(make: Any, seed: int, scale: float = 0.5) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return harness.pair(make, scratch, "float64", lambda s: harness.normal(rng, s, "float64", scale))


def failing(report: Report) -> list[str]:
    return [c.tensor for c in report.failures]


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_what_is_moved_keeps_its_bits() -> None:
    values = np.array([1.0, -0.0, np.nan, np.inf])
    assert criteria.selection("y", values, torch.from_numpy(values.copy())).passed
    assert criteria.selection("y", -values * [-1, 1, -1, -1], torch.from_numpy(values.copy())).fault.endswith("[1]")
    assert not criteria.selection("y", np.nextafter(values, 9), torch.from_numpy(values.copy())).passed


@pytest.mark.parametrize(
    "make",
    [
        lambda w, _: w.Flatten(),
        lambda w, _: w.Canvas2d((6, 7), 0.5),
        lambda w, _: w.Dropout(),
        lambda w, _: w.MaxPool2d((2, 3), 1),
    ],
)
def test_a_bit_off_a_copy_is_seen(make: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, twin = make(scratch, None), make(torchref, None)
    x = rng.normal(size=(2, 3, 4, 5))
    dy = rng.normal(size=layer.forward(x)[0].shape)

    def found(**alter: Any) -> list[str]:
        return failing(oracle.check_layer("case", Wrong(layer, **alter), twin, x, dy))

    assert found() == []
    assert found(y=lambda v: np.nextafter(v, np.inf)) == ["y"]
    assert found(dx=lambda v: v * (1 + 1e-14)) == ["dx"]


def test_a_tie_given_to_the_last_is_seen() -> None:
    """y is right, dx is not: only where entries are equal does it show."""
    x = np.array([1.0, 3.0, 3.0, 2.0]).reshape(1, 1, 2, 2)
    dy = np.full((1, 1, 1, 1), 0.7)
    layer = Wrong(scratch.MaxPool2d(2), dx=lambda v: v[:, :, ::-1, ::-1].copy())
    assert failing(oracle.check_layer("tie", layer, torchref.MaxPool2d(2), x, dy)) == ["dx"]
    assert failing(oracle.check_layer("tie", layer, torchref.MaxPool2d(2), x, dy, integers=True)) == ["dx"]


@pytest.mark.parametrize("leak", [1e-310, np.nan])
def test_an_absent_link_with_a_gradient_is_seen(leak: float, seed: int) -> None:
    """However small, where no other criterion would see it: in a layer, forced, and in a network."""

    def leaky(grads: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        weight = grads["weight"].copy()
        weight[1, 2, 0, 0] = leak
        return grads | {"weight": weight}

    rng = np.random.default_rng(seed)
    layer, twin = pair(lambda w, d: w.Conv2d(3, 4, 2, connections=TABLE, dtype=d), seed)
    x, dy = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 4, 3, 4))
    found = failing(oracle.check_layer("case", Wrong(layer, grads=leaky), twin, x, dy))
    assert "grad weight, absent links" in found
    assert (found == ["grad weight, absent links"]) is (leak == leak)

    net, twin = pair(
        lambda w, d: w.Sequential(
            {"c": w.Conv2d(3, 4, 2, connections=TABLE, dtype=d), "flat": w.Flatten(), "top": w.Linear(48, 2, dtype=d)}
        ),
        seed,
    )
    net.layers["c"] = Wrong(net.layers["c"], grads=leaky)
    losses = scratch.CrossEntropy(), torchref.CrossEntropy()
    report = oracle.check_network("net", net, losses[0], twin, losses[1], x, np.array([0, 1]))
    assert {"grad/c.weight, absent links", "c forced, grad weight, absent links"} <= set(failing(report))


def test_a_mask_that_is_ignored_is_seen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, dy, mask = rng.normal(size=(4, 5)), rng.normal(size=(4, 5)), rng.random((4, 5)) < 0.5
    deaf = scratch.Dropout(0.3)
    twin = oracle.thinned(torchref.Dropout(0.3), mask)
    assert oracle.check_layer("on", oracle.ThinnedCandidate(deaf, mask), twin, x, dy).passed
    assert set(failing(oracle.check_layer("off", deaf, twin, x, dy))) == {"y", "dx"}
    other = oracle.ThinnedCandidate(scratch.Dropout(0.4), mask)
    assert set(failing(oracle.check_layer("p", other, twin, x, dy))) == {"y", "dx"}


def drawn(mask: Any, used: Any = None) -> list[str]:
    """What is said of a Dropout whose masks come from the function."""

    def forward(x: np.ndarray, rng: Any) -> Any:
        kept = mask(rng.random(x.shape))
        return x * (kept if used is None else used(kept)), SimpleNamespace(mask=kept)

    fake = SimpleNamespace(forward=forward)
    return failing(harness.check_mask("drawn", fake, torchref.Dropout(0.3), "float64", np.random.default_rng(0)))


def test_masks_are_drawn_as_p_says() -> None:
    """What else is said of masks: test_drawing.py."""
    assert drawn(lambda u: u >= 0.3) == []
    assert drawn(lambda u: u >= 0.5) == ["mask keeps 1 − p of the units"]
    assert drawn(lambda u: u >= 0.3, used=np.logical_not) == ["the mask is the one that was used"]


@pytest.mark.parametrize("dtype", harness.DTYPES)
@pytest.mark.parametrize("special", [np.inf, np.nan])
def test_padding_times_infinity_is_nan(dtype: str, special: float) -> None:
    """IEEE: 0·∞ = NaN. oneDNN leaves products with the padding out; torch's own kernels and scratch do not."""

    def make(w: Any, d: Any) -> Any:
        return w.Conv2d(1, 1, 3, 2, 1, dtype=d)

    layer, twin = harness.pair(make, scratch, dtype, lambda shape: np.ones(shape, dtype))
    x, dy = np.ones((1, 1, 4, 4), dtype), np.ones((1, 1, 2, 2), dtype)
    dy[0, 0, 0, 0] = special  # its window's first row and column are padding
    with np.errstate(all="ignore"):
        _, cache = layer.forward(x)
        dweight = layer.backward(dy, cache)[1]["weight"]
        padded = np.zeros((3, 3), bool)
        padded[0], padded[:, 0] = True, True
        np.testing.assert_array_equal(np.isnan(dweight[0, 0]), padded | np.isnan(special))
        before = torch.backends.mkldnn.enabled
        harness.check_non_finite("border", layer, twin, x, dy).require()
    assert torch.backends.mkldnn.enabled == before


def test_a_sample_of_entries_holds_the_largest(seed: int) -> None:
    """A gradient that is wrong at its largest entry is seen whichever entries are drawn."""
    rng = np.random.default_rng(seed)
    net, loss = scratch.MLP((30, 20, 3), dtype=np.float64, rng=rng), scratch.CrossEntropy()
    x, labels = rng.normal(size=(4, 30)), rng.integers(0, 3, 4)

    def found(net: Any) -> list[str]:
        return failing(oracle.check_gradients("fd", net, loss, x, labels, entries=2, rng=rng))

    assert found(net) == []
    assert found(Wrong(net, dx=lambda v: np.where(abs(v) == abs(v).max(), v * 1.001, v))) == ["dx"]
    assert found(Wrong(net, dx=lambda v: v[:-1])) == ["dx"]
    at = np.arange(6.0).reshape(2, 3)
    some = finite_difference.central_difference(lambda: float((at**2).sum()), at, np.array([4]))
    assert some[1, 1] == pytest.approx(8)
    assert np.isnan(some).sum() == 5


def test_errors_can_be_held_to_the_size_of_the_result() -> None:
    eps = np.finfo(np.float64).eps
    t, size = torch.tensor([4.0, -8.0], dtype=torch.float64), torch.tensor([4.0, 16.0], dtype=torch.float64)
    verdict = criteria.own_size("grad", np.array([4.0 + 1024 * eps, -8.0]), t, size)
    assert verdict.ratio == pytest.approx(1 / 4, rel=1e-9)
    assert not criteria.own_size("grad", np.array([4.0 + 4104 * eps, -8.0]), t, size).passed
    assert criteria.own_size("grad", np.zeros(2), 0 * t, 0 * t).passed


def test_the_size_of_a_sum_is_its_terms(seed: int) -> None:
    net, twin, x, labels, masks = nested(seed)
    found = oracle.run(harness.thin(net, twin, masks)[1], torchref.CrossEntropy(), x, labels)
    sizes = harness.own_sizes(twin, found)
    assert sizes.keys() == found.tensors.keys()
    flat, dy = found.tensors["output/flat"].abs(), found.tensors["doutput"].abs()
    weight, bias = (tensor.detach().abs() for tensor in (twin.top.weight, twin.top.bias))
    for name, by_hand in {
        "output/top": flat @ weight.T + bias,
        "dx/top": dy @ weight,
        "grad/top.weight": dy.T @ flat,
        "grad/top.bias": dy.sum(0),
        "output/block.squash": found.tensors["output/block.squash"].abs(),
    }.items():
        np.testing.assert_allclose(sizes[name], by_hand, rtol=1e-12, err_msg=name)


# --- networks ---------------------------------------------------------------------------------------------------------


def nested(seed: int) -> tuple[Any, Any, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    net, twin = pair(
        lambda w, d: w.Sequential(
            {
                "conv": w.Conv2d(2, 3, 2, padding=1, dtype=d),
                "drop": w.Dropout(0.2),
                "block": w.Sequential(
                    {
                        "table": w.Conv2d(3, 4, (2, 3), 2, connections=TABLE, dtype=d),
                        "squash": w.Tanh(),
                        "inner": w.Sequential({"drop": w.Dropout(), "sample": w.Subsample2d(4, 2, 1, dtype=d)}),
                    }
                ),
                "flat": w.Flatten(),
                "top": w.Linear(4, 3, dtype=d),
            }
        ),
        seed,
    )
    x = rng.normal(size=(5, 2, 4, 5))
    masks = net.forward(x, rng)[1].masks
    assert list(masks) == ["drop", "block.inner.drop"]
    return net, twin, x, rng.integers(0, 3, 5), masks


def check(net: Any, twin: Any, x: np.ndarray, labels: np.ndarray, masks: Any) -> Report:
    candidate, reference = harness.thin(net, twin, masks)
    return oracle.check_network("net", candidate, scratch.CrossEntropy(), reference, torchref.CrossEntropy(), x, labels)


@pytest.mark.parametrize("dropped", [True, False])
def test_a_broken_layer_is_found_in_a_network_within(dropped: bool, seed: int) -> None:
    for alter, guilty in (
        ({"y": lambda v: v * 1.001}, "y"),
        ({"dx": lambda v: -v}, "dx"),
        ({"grads": lambda g: g | {"weight": g["weight"][:, :, ::-1].copy()}}, "grad weight"),
    ):
        net, twin, x, labels, masks = nested(seed)
        assert check(net, twin, x, labels, masks if dropped else None).passed
        inner = net.layers["block"].layers
        inner["table"] = Wrong(inner["table"], **alter)
        names = failing(check(net, twin, x, labels, masks if dropped else None))
        assert [name for name in names if "forced" in name] == [f"block.table forced, {guilty}"]
        assert names[0] == {"y": "output/block", "dx": "dx/conv", "grad weight": "grad/block.table.weight"}[guilty]


def test_a_broken_layer_of_lenet5_is_found(seed: int) -> None:
    """The table rolled by one map: forward, its own gradient and the input's, and absent links that have a gradient."""
    rng = np.random.default_rng(seed)
    net, twin = pair(lambda w, d: w.LeNet5(dtype=d), seed, 0.2)
    x, labels = rng.normal(size=(1, 1, 28, 28)), rng.integers(0, 10, 1)
    assert check(net, twin, x, labels, None).passed
    c3 = net.layers["c3"]
    c3.connections = np.roll(c3.connections, 1, axis=0)
    report = check(net, twin, x, labels, None)
    assert report.failures[0].tensor == "output/c3"
    assert [name for name in failing(report) if "forced" in name] == [
        "c3 forced, y",
        "c3 forced, dx",
        "c3 forced, grad weight",
        "c3 forced, grad weight, absent links",
    ]


def test_the_twin_drops_what_it_is_given_as_its_taken_apart_self_does(seed: int) -> None:
    """`oracle.thinned` is what is judged, the twin's own way with masks is what trains: the same, bit for bit."""
    _, twin, x, labels, masks = nested(seed)
    dropout = {name: torch.from_numpy(mask) for name, mask in masks.items()}
    apart = oracle.thinned(twin, masks)
    assert [name for name, _ in apart.named_parameters()] == [name for name, _ in twin.named_parameters()]
    xt = torch.from_numpy(x)
    assert torch.equal(twin(xt, dropout), apart(xt))
    found = oracle.run(apart, torchref.CrossEntropy(), x, labels)
    for name, tensor in twin.trace(xt, dropout).items():
        assert torch.equal(tensor, found.tensors[f"output/{name}"]), name
    assert not torch.equal(twin(xt), apart(xt))
    for where in ("output", "dx"):
        inner = {"output": "block.inner.sample", "dx": "block.inner.drop"}[where]
        assert torch.equal(found.tensors[f"{where}/block.inner"], found.tensors[f"{where}/{inner}"])
        outer = {"output": "block.inner.sample", "dx": "block.table"}[where]
        assert torch.equal(found.tensors[f"{where}/block"], found.tensors[f"{where}/{outer}"])


def test_a_candidates_units_are_dropped_alike_in_every_pass(seed: int) -> None:
    net, _, x, _, masks = nested(seed)
    thin = oracle.ThinnedCandidate(net, masks)
    y, _ = thin.forward(x)
    np.testing.assert_array_equal(y, net.forward(x, masks)[0])
    opposite, _ = net.forward(x, {name: ~mask for name, mask in masks.items()})
    np.testing.assert_array_equal(thin.forward(x[:3])[0], net.forward(x[:3], thin._resized(3))[0])
    np.testing.assert_allclose(thin.forward(np.concatenate([x, x]))[0], np.concatenate([opposite, opposite]), rtol=1e-9)
    assert list(thin.trace(x)) == list(net.layers)
    assert thin.parameters().keys() == net.parameters().keys()
    assert thin.layers["conv"] is net.layers["conv"]


def test_absent_links_have_no_gradient_in_the_twin_either(seed: int) -> None:
    twin = torchref.Conv2d(3, 4, 2, connections=TABLE, dtype=torch.float64)
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 3, 4, 5)))
    grad = gradients(twin, x, torch.ones(2, 4, 3, 4, dtype=torch.float64))["grad weight"]
    assert torch.equal((grad != 0).all(dim=(2, 3)), torch.tensor(TABLE))
