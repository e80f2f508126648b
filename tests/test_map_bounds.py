"""The oracle's bounds for maps, recomputed by hand in loops: a magnitude that grew by mistake would excuse anything."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

import scratch
import torchref
from tests import harness
from tests.cases import TABLE
from tests.test_bounds import EPS, TINY, bound_of, same
from torchref import oracle
from torchref.oracle import magnitude
from torchref.oracle.linear import absolute_pass, count_terms

Pair = tuple[int, int]


def uses(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair = (0, 0)) -> Any:
    """Every (place of the window, entry of the window, pixel) that is no padding."""
    rows, cols = ((x.shape[2 + a] + 2 * padding[a] - kernel[a]) // stride[a] + 1 for a in (0, 1))
    for p, q, i, j in product(range(rows), range(cols), range(kernel[0]), range(kernel[1])):
        h, w = p * stride[0] + i - padding[0], q * stride[1] + j - padding[1]
        if 0 <= h < x.shape[2] and 0 <= w < x.shape[3]:
            yield (p, q), (i, j), (h, w)


def convolved(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dy: np.ndarray, stride: Pair, padding: Pair
) -> dict[str, np.ndarray]:
    """A convolution and its gradients, term by term."""
    y = np.zeros(dy.shape) + bias[:, None, None]
    dx, dweight = np.zeros(x.shape), np.zeros(weight.shape)
    for (p, q), (i, j), (h, w) in uses(x, weight.shape[2:], stride, padding):
        for n, o, c in product(range(len(x)), range(len(weight)), range(x.shape[1])):
            y[n, o, p, q] += weight[o, c, i, j] * x[n, c, h, w]
            dx[n, c, h, w] += weight[o, c, i, j] * dy[n, o, p, q]
            dweight[o, c, i, j] += dy[n, o, p, q] * x[n, c, h, w]
    return {"y": y, "dx": dx, "grad weight": dweight, "grad bias": dy.sum((0, 2, 3))}


def subsampled(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, dy: np.ndarray, kernel: Pair, stride: Pair
) -> dict[str, np.ndarray]:
    """A sub-sampling and its gradients, term by term."""
    sums, shares = np.zeros(dy.shape), np.zeros(x.shape)
    for (p, q), _, (h, w) in uses(x, kernel, stride):
        sums[:, :, p, q] += x[:, :, h, w]
        shares[:, :, h, w] += dy[:, :, p, q]
    y, dx = (values * weight[:, None, None] for values in (sums, shares))
    return {
        "y": y + bias[:, None, None],
        "dx": dx,
        "grad weight": (dy * sums).sum((0, 2, 3)),
        "grad bias": dy.sum((0, 2, 3)),
    }


def agree(found: dict[str, Any], by_hand: dict[str, np.ndarray]) -> None:
    assert list(found) == list(by_hand)
    for name, values in by_hand.items():
        np.testing.assert_allclose(found[name].numpy(), values, rtol=1e-12, atol=0, err_msg=name)


def tensors(rng: np.random.Generator, twin: torch.nn.Module, shape: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    twin.load_state_dict({k: torch.from_numpy(rng.normal(size=v.shape)) for k, v in twin.state_dict().items()})
    x = torch.from_numpy(rng.normal(size=shape))
    return x, torch.from_numpy(rng.normal(size=tuple(twin(x).shape)))


@pytest.mark.parametrize("connections", [None, TABLE])
def test_s_and_n_of_a_convolution(connections: Any, seed: int) -> None:
    twin = torchref.Conv2d(3, 4, (2, 3), (1, 2), (1, 2), connections=connections, dtype=torch.float64)
    x, dy = tensors(np.random.default_rng(seed), twin, (2, 3, 4, 5))
    mask = np.ones((4, 3, 1, 1)) if connections is None else np.array(connections)[:, :, None, None]
    weight, bias = (p.detach().numpy() for p in (twin.weight, twin.bias))
    steps = (1, 2), (1, 2)
    expected = convolved(abs(x.numpy()), abs(weight) * mask, abs(bias), abs(dy.numpy()), *steps)
    expected["grad weight"] *= mask
    agree(absolute_pass(twin, x, dy), expected)
    ones = (np.ones_like(v) for v in (x.numpy(), weight, bias, dy.numpy()))
    ones_x, ones_w, ones_b, ones_dy = ones
    expected = convolved(ones_x, ones_w * mask, ones_b, ones_dy, *steps)
    expected["grad weight"] *= mask
    agree(count_terms(twin, x, dy), expected)


def test_s_and_n_of_a_signals_convolution(seed: int) -> None:
    twin = torchref.Conv1d(2, 3, 4, 3, 2, dtype=torch.float64)
    x, dy = tensors(np.random.default_rng(seed), twin, (5, 2, 9))
    weight, bias = (abs(p.detach().numpy()) for p in (twin.weight, twin.bias))
    flat = convolved(abs(x.numpy())[:, :, None], weight[:, :, None], bias, abs(dy.numpy())[:, :, None], (1, 3), (0, 2))
    agree(absolute_pass(twin, x, dy), {k: v.squeeze(2) if v.ndim == 4 else v for k, v in flat.items()})


def test_s_and_n_of_pooling(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel, stride = (2, 3), (1, 2)
    twin = torchref.Subsample2d(2, kernel, stride, dtype=torch.float64)
    x, dy = tensors(rng, twin, (3, 2, 5, 6))
    weight, bias = (abs(p.detach().numpy()) for p in (twin.weight, twin.bias))
    size, count = abs(dy.numpy()), np.ones(dy.shape)
    agree(absolute_pass(twin, x, dy), subsampled(abs(x.numpy()), weight, bias, size, kernel, stride))
    agree(count_terms(twin, x, dy), subsampled(np.ones(x.shape), np.ones(2), np.ones(2), count, kernel, stride))

    average = torchref.AvgPool2d(kernel, stride)
    mean = subsampled(abs(x.numpy()), np.full(2, 1 / 6), np.zeros(2), size, kernel, stride)
    agree(absolute_pass(average, x, dy), {k: mean[k] for k in ("y", "dx")})
    counts = subsampled(np.ones(x.shape), np.ones(2), np.zeros(2), count, kernel, stride)
    agree(count_terms(average, x, dy), {k: counts[k] for k in ("y", "dx")})


def test_s_and_n_of_max_pooling(seed: int) -> None:
    """dx is a sum over the windows that a pixel won; the bound, of that sum's terms."""
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(size=(2, 3, 5, 6)), rng.normal(size=(2, 3, 3, 5))
    size, count = np.zeros(x.shape), np.zeros(x.shape)
    for n, c, p, q in np.ndindex(dy.shape):
        window = x[n, c, 2 * p - 0 : 2 * p + 1, q : q + 2]
        i, j = np.unravel_index(window.argmax(), window.shape)
        size[n, c, 2 * p + i, q + j] += abs(dy[n, c, p, q])
        count[n, c, 2 * p + i, q + j] += 1
    twin = torchref.MaxPool2d((1, 2), (2, 1))
    report = oracle.check_layer("max", scratch.MaxPool2d((1, 2), (2, 1)), twin, x, dy)
    report.require()
    winner = magnitude.winners(twin, torch.from_numpy(x))
    same(magnitude.route(torch.from_numpy(abs(dy)), winner, torch.from_numpy(x)), size)
    worst = next(c for c in report.comparisons if c.tensor == "dx").index
    same(bound_of(report, "dx"), (8 + np.sqrt(count[worst])) * EPS * size[worst] + TINY)


def test_s_and_n_of_dropped_units(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, dy, mask = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.random((3, 4)) < 0.5
    twin = oracle.thinned(torchref.Dropout(0.2), mask)
    pair = torch.from_numpy(x), torch.from_numpy(dy)
    agree(absolute_pass(twin, *pair), {"y": abs(x) * mask / 0.8, "dx": abs(dy) * mask / 0.8})
    agree(count_terms(twin, *pair), {"y": mask, "dx": mask})


def small_network(seed: int) -> tuple[Any, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """A network with a rule of each kind, an input, labels and the masks of its dropout."""
    rng = np.random.default_rng(seed)
    _, twin = harness.pair(
        lambda w, d: w.Sequential(
            {
                "canvas": w.Canvas2d((6, 7), -0.5),
                "conv": w.Conv2d(
                    2, 3, (3, 2), (1, 2), (1, 0), connections=[[1 > 0, 1 < 0]] + [[1 > 0] * 2] * 2, dtype=d
                ),
                "tanh": w.Tanh(),
                "max": w.MaxPool2d((3, 2), (2, 1)),
                "drop": w.Dropout(0.25),
                "sample": w.Subsample2d(3, 2, 1, dtype=d),
                "flat": w.Flatten(),
                "top": w.Linear(3, 4, dtype=d),
            }
        ),
        scratch,
        "float64",
        lambda s: harness.normal(rng, s, "float64"),
    )
    masks = {"drop": rng.random((5, 3, 2, 2)) < 0.7}
    return oracle.thinned(twin, masks), rng.normal(size=(5, 2, 4, 5)), rng.integers(0, 4, 5), masks


def test_magnitudes_of_a_convolutional_network_by_hand(seed: int) -> None:
    twin, x, labels, masks = small_network(seed)
    found = oracle.run(twin, torchref.SquaredError("sum"), x, labels)
    size = {k: abs(v.numpy()) for k, v in twin.state_dict().items()}
    value = {k: v.numpy() for k, v in found.tensors.items()}
    table = np.array([[1, 0], [1, 1], [1, 1]])[:, :, None, None]
    weight = size["conv.weight"] * table

    s = {"canvas": np.full((5, 2, 6, 7), 0.5)}
    s["canvas"][:, :, 1:5, 1:6] = abs(x)
    nothing = np.zeros((5, 3, 6, 3))
    s["conv"] = convolved(s["canvas"], weight, size["conv.bias"], nothing, (1, 2), (1, 0))["y"]
    a = value["output/tanh"]
    s["tanh"] = (1 - a**2) * s["conv"] + abs(a)
    s["max"], winners = np.zeros((5, 3, 2, 2)), {}
    for n, c, p, q in np.ndindex(s["max"].shape):
        window = a[n, c, 2 * p : 2 * p + 3, q : q + 2]
        i, j = np.unravel_index(window.argmax(), window.shape)
        winners[n, c, p, q] = n, c, 2 * p + i, q + j
        s["max"][n, c, p, q] = s["tanh"][winners[n, c, p, q]]
    s["drop"] = s["max"] * masks["drop"] / 0.75
    no_dy = np.zeros((5, 3, 1, 1))
    s["sample"] = subsampled(s["drop"], size["sample.weight"], size["sample.bias"], no_dy, (2, 2), (1, 1))["y"]
    s["flat"] = s["sample"].reshape(5, 3)
    s["top"] = s["flat"] @ size["top.weight"].T + size["top.bias"]

    residual = abs(value["output"] - np.eye(4)[labels])
    dy = s["top"] + residual
    s_flat = dy @ size["top.weight"]
    sample = subsampled(
        s["drop"], size["sample.weight"], size["sample.bias"], s_flat.reshape(5, 3, 1, 1), (2, 2), (1, 1)
    )
    s_max = sample["dx"] * masks["drop"] / 0.75
    s_tanh = np.zeros(a.shape)
    for place, pixel in winners.items():
        s_tanh[pixel] += s_max[place]
    da = abs(value["dx/max"])
    s_conv = (1 - a**2) * s_tanh + da * (2 * abs(a) * s["tanh"] + (1 - a**2))
    conv = convolved(s["canvas"], weight, size["conv.bias"], s_conv, (1, 2), (1, 0))
    expected = {
        **{f"output/{name}": magnitude for name, magnitude in s.items()},
        "output": s["top"],
        "loss": (residual * dy + residual**2 / 2).sum(),
        "doutput": dy,
        "dx/top": s_flat,
        "grad/top.weight": dy.T @ s["flat"],
        "grad/top.bias": dy.sum(0),
        "dx/flat": s_flat.reshape(5, 3, 1, 1),
        "dx/sample": sample["dx"],
        "grad/sample.weight": sample["grad weight"],
        "grad/sample.bias": sample["grad bias"],
        "dx/drop": s_max,
        "dx/max": s_tanh,
        "dx/tanh": s_conv,
        "dx/conv": conv["dx"],
        "grad/conv.weight": conv["grad weight"] * table,
        "grad/conv.bias": conv["grad bias"],
        "dx/canvas": conv["dx"][:, :, 1:5, 1:6],
    }
    assert list(found.magnitudes) == list(found.tensors) == list(expected)
    for key, by_hand in expected.items():
        np.testing.assert_allclose(found.magnitudes[key].numpy(), by_hand, rtol=1e-9, atol=1e-300, err_msg=key)


@pytest.mark.parametrize(("gap", "kinked"), [(47, True), (49, False)])
def test_the_kink_margin_of_a_window_is_8_eps_of_both_magnitudes(gap: float, kinked: bool) -> None:
    """x = 1 and 1 + gap·eps behind an identity (S = 2|x|) and a loss: S of the difference is 4."""
    twin = torchref.Sequential(
        {
            "same": torchref.Identity(),
            "again": torchref.Identity(),
            "max": torchref.MaxPool2d(2),
            "flat": torchref.Flatten(),
        }
    )
    # An entry that ties with nothing, and one far below: only the two largest count.
    x = np.array([1.0, 1 + gap * EPS, 0.5, 0.5]).reshape(1, 1, 2, 2)
    loss, labels = torchref.SquaredError(), np.array([0])
    assert oracle.run(twin, loss, x, labels).kinked is kinked  # S = |x| + |x| + |x| each: 8·(3 + 3) = 48


def test_ties_of_what_is_exact_are_no_kink() -> None:
    """ReLU's zeros are zeros in both programs; equal values that were computed are a tie to redraw."""
    twin = torchref.Sequential({"relu": torchref.ReLU(), "max": torchref.MaxPool2d((1, 2)), "flat": torchref.Flatten()})
    loss, labels = torchref.SquaredError(), np.array([0])
    assert not oracle.run(twin, loss, np.array([[[[-1.0, -2.0]]]]), labels).kinked
    assert oracle.run(twin, loss, np.array([[[[2.0, 2.0]]]]), labels).kinked
    single = torchref.Sequential({"max": torchref.MaxPool2d(1), "flat": torchref.Flatten()})
    assert not oracle.run(single, loss, np.array([[[[2.0]]]]), labels).kinked
