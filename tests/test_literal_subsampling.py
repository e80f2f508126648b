"""The third witness for 子采样层: the slides' windows = both wings = torch.

All numbers are small whole ones: equal maxima abound, and every sum is exact in any order.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import scratch
import torchref
from scratch import literal_subsampling as loops

Pair = tuple[int, int]

# Map, window, stride: without overlap, with, with gaps, a rest at the right and the bottom, nothing square, one tap.
CASES = {
    "2x2": ((4, 6), (2, 2), (2, 2)),
    "2x2, a rest": ((5, 7), (2, 2), (2, 2)),
    "3x3 overlapping": ((7, 5), (3, 3), (2, 2)),
    "3x2 overlapping": ((6, 5), (3, 2), (1, 1)),
    "gaps": ((8, 7), (2, 1), (3, 2)),
    "all of the map": ((3, 4), (3, 4), (1, 1)),
    "one tap": ((3, 2), (1, 1), (1, 1)),
}
SAMPLE = 3  # maps


def drawn(seed: int, case: str) -> tuple[np.ndarray, np.ndarray]:
    """Input maps and the gradient that arrives."""
    rng = np.random.default_rng(seed)
    size, kernel_size, stride = CASES[case]
    outputs = [(n - f) // s + 1 for n, f, s in zip(size, kernel_size, stride, strict=True)]
    x = rng.integers(-2, 3, (SAMPLE, *size)).astype(np.float64)
    return x, rng.integers(-5, 6, (SAMPLE, *outputs)).astype(np.float64)


def by_hand(layer: Any, x: np.ndarray, dy: np.ndarray) -> list[np.ndarray]:
    """y, dx and the gradients of the parameters in `scratch`."""
    y, cache = layer.forward(x[None])
    dx, grads = layer.backward(dy[None], cache)
    return [y[0], dx[0], *grads.values()]


def in_torch(layer: Any, x: np.ndarray, dy: np.ndarray) -> list[np.ndarray]:
    """The same of a module of torch, or of a function of it."""
    leaf = torch.from_numpy(x)[None].requires_grad_()
    parameters = list(layer.parameters()) if isinstance(layer, torch.nn.Module) else []
    y = layer(leaf)
    dx, *grads = torch.autograd.grad(y, [leaf, *parameters], torch.from_numpy(dy)[None])
    return [array.detach().numpy() for array in (y[0], dx[0], *grads)]


def agree(literal: tuple[Any, ...], *others: list[np.ndarray], atol: float = 0) -> None:
    for other in others:
        for ours, theirs in zip(literal, other, strict=True):
            assert np.shape(ours) == theirs.shape
            np.testing.assert_allclose(theirs, np.array(ours), rtol=0, atol=atol)


@pytest.mark.parametrize("case", CASES)
def test_subsampling(case: str, seed: int) -> None:
    _, kernel_size, stride = CASES[case]
    x, dy = drawn(seed, case)
    state = {"weight": np.array([2.0, -3.0, 0.5]), "bias": np.array([-1.0, 4.0, 7.0])}
    ours = scratch.Subsample2d(SAMPLE, kernel_size, stride, dtype=np.float64)
    ours.load_state_dict(state)
    twin = torchref.Subsample2d(SAMPLE, kernel_size, stride, dtype=torch.float64)
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    coefficient, bias = (array.tolist() for array in state.values())
    y = loops.subsample(x.tolist(), coefficient, bias, kernel_size, stride)
    back = loops.subsample_backward(dy.tolist(), x.tolist(), coefficient, kernel_size, stride)
    agree((y, *back), by_hand(ours, x, dy), in_torch(twin, x, dy))


@pytest.mark.parametrize("case", CASES)
def test_average(case: str, seed: int) -> None:
    _, kernel_size, stride = CASES[case]
    x, dy = drawn(seed, case)
    y = loops.average(x.tolist(), kernel_size, stride)
    dx = loops.average_backward(dy.tolist(), x.tolist(), kernel_size, stride)
    agree(
        (y, dx),
        by_hand(scratch.AvgPool2d(kernel_size, stride), x, dy),
        in_torch(torchref.AvgPool2d(kernel_size, stride), x, dy),
        in_torch(lambda leaf: functional.avg_pool2d(leaf, kernel_size, stride), x, dy),
        atol=1e-14,  # a ninth is no binary fraction, and may be divided or multiplied by
    )


@pytest.mark.parametrize("case", CASES)
def test_maximum(case: str, seed: int) -> None:
    _, kernel_size, stride = CASES[case]
    x, dy = drawn(seed, case)
    y = loops.maximum(x.tolist(), kernel_size, stride)
    dx = loops.maximum_backward(dy.tolist(), x.tolist(), kernel_size, stride)
    agree(
        (y, dx),
        by_hand(scratch.MaxPool2d(kernel_size, stride), x, dy),
        in_torch(torchref.MaxPool2d(kernel_size, stride), x, dy),
        in_torch(lambda leaf: functional.max_pool2d(leaf, kernel_size, stride), x, dy),
    )


def test_the_first_of_several_largest() -> None:
    x = [[[1.0, 5.0, 5.0], [5.0, 0.0, 5.0]]]
    assert loops.maximum(x, (2, 2), (1, 1)) == [[[5.0, 5.0]]]
    assert loops.maximum_backward([[[2.0, 3.0]]], x, (2, 2), (1, 1)) == [[[0.0, 5.0, 0.0], [0.0, 0.0, 0.0]]]
    assert loops.maximum_backward([[[2.0, 3.0]]], [[[5.0] * 3] * 2], (2, 2), (1, 1)) == [[[2, 3, 0], [0, 0, 0]]]


def test_added_not_averaged() -> None:
    assert loops.subsample([[[1.0, 2.0], [3.0, 4.0]]], [0.5], [1.0], (2, 2), (2, 2)) == [[[6.0]]]
    assert loops.average([[[1.0, 2.0], [3.0, 4.0]]], (2, 2), (2, 2)) == [[[2.5]]]
