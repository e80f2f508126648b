"""What is there for speed: how maps lie in memory, windows without copies, what is left out, and steps row by row.

That `gradients` and `predict` return the bits of `backward` and `forward` is asked by the harness, of every row.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import scratch
from scratch import convolution, linear, optim, pooling, unfolding, validation

SIZES = pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        ((7, 6), (3, 2), (2, 3), (1, 2)),  # with a rest on both axes
        ((5, 4), (2, 3), (1, 1), (0, 0)),
        ((4, 6), (1, 2), (3, 4), (0, 1)),  # with gaps
        ((3, 2), (3, 2), (1, 1), (2, 0)),
    ],
)


def drawn(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Whole numbers, of whose sums none is rounded."""
    return rng.integers(-9, 10, shape).astype(np.float64)


def rows_outermost(maps: np.ndarray) -> bool:
    """Whether (N, C, H, W) lies in memory as (H, C, W, N), without gaps."""
    return maps.transpose(2, 1, 3, 0).flags.c_contiguous


@SIZES
def test_windows_hold_what_lies_under_the_filter(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], seed: int
) -> None:
    x = drawn(np.random.default_rng(seed), 3, 2, *size)
    padded = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    columns = unfolding.unfold(x, kernel[1], stride[1], padding)
    seen = unfolding.windows(columns, kernel[0], stride[0])
    down, across = ((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, kernel, stride, padding, strict=True))
    assert seen.shape == (down, kernel[0] * 2 * kernel[1], across * 3)
    seen = seen.reshape(down, kernel[0], 2, kernel[1], across, 3)
    for p, i, c, j, q, n in np.ndindex(seen.shape):
        assert seen[p, i, c, j, q, n] == padded[n, c, p * stride[0] + i, q * stride[1] + j]
    assert columns.flags.c_contiguous
    assert np.shares_memory(unfolding.windows(columns, kernel[0], stride[0]), columns)
    assert not np.shares_memory(columns, x)


@SIZES
def test_folding_is_the_transpose_of_unfolding(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = drawn(rng, 3, 2, *size)
    columns = unfolding.unfold(x, kernel[1], stride[1], padding)
    dcolumns = drawn(rng, *columns.shape)
    dx = unfolding.fold(dcolumns, size, stride[1], padding)
    assert dx.shape == x.shape
    assert (columns * dcolumns).sum() == (x * dx).sum()


def test_filters_are_rows_in_the_order_of_the_windows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weight = drawn(rng, 4, 3, 2, 5), drawn(rng, 6, 3, 2, 5)
    seen = unfolding.windows(unfolding.unfold(x, 5, 1, (0, 0)), 2, 1)
    expected = weight.reshape(6, -1) @ x.reshape(4, -1).T
    np.testing.assert_array_equal(unfolding.as_matrix(weight) @ seen, [expected])


@pytest.mark.parametrize(
    "layer",
    [
        scratch.Conv2d(2, 5, 3, padding=1),
        scratch.AvgPool2d((2, 3)),
        scratch.AvgPool2d(3, 2),
        scratch.AvgPool2d(1),
        scratch.MaxPool2d(2),
        scratch.Subsample2d(2, 2),
        scratch.Canvas2d((10, 13)),
        scratch.Tanh.lecun(),
        scratch.Logistic(),
        scratch.ReLU(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_maps_lie_with_the_rows_outermost_and_the_batch_last(layer: Any, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(6, 2, 9, 4)).astype(np.float32).transpose(3, 1, 0, 2)
    assert rows_outermost(x)
    y, cache = layer.forward(x)
    assert rows_outermost(y)
    dx, _ = layer.backward(y, cache)
    assert rows_outermost(dx) or isinstance(layer, scratch.Conv2d | scratch.Canvas2d)  # cut out of what is larger


def test_a_convolution_and_a_canvas_put_any_maps_into_that_order(seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(4, 2, 6, 8)).astype(np.float32)
    assert not rows_outermost(x)
    for layer in (scratch.Conv2d(2, 5, 3), scratch.Canvas2d(8)):
        assert rows_outermost(layer.forward(x)[0])


def test_error_signals_in_that_order_are_not_copied(seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(4, 2, 6, 5)).astype(np.float32)
    y, _ = scratch.Conv2d(2, 3, 2).forward(x)
    rows = unfolding.rows_of(y)
    assert np.shares_memory(rows, y)
    np.testing.assert_array_equal(rows.reshape(5, 3, 4, 4), y.transpose(2, 1, 3, 0))


def test_a_fully_connected_layer_computes_with_a_sample_to_a_column(seed: int) -> None:
    layer = scratch.Linear(5, 4)
    y, cache = layer.forward(np.random.default_rng(seed).normal(size=(3, 5)).astype(np.float32))
    dx, _ = layer.backward(y, cache)
    assert y.flags.f_contiguous
    assert dx.flags.f_contiguous


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often the gradients of inputs are computed."""
    counted: Counter[str] = Counter()

    def count(owner: Any, name: str, called: str) -> None:
        right: Callable[..., Any] = getattr(owner, name)

        def counting(*arguments: Any) -> Any:
            counted[called] += 1
            return right(*arguments)

        monkeypatch.setattr(owner, name, counting)

    count(linear, "linear_dx", "linear")
    count(convolution, "linear_dx", "place")
    count(convolution, "conv2d_dx", "convolution")
    count(pooling, "sum_pool2d_backward", "pooling")
    count(scratch.Canvas2d, "backward", "canvas")
    return counted  # type: ignore[return-value]


def test_gradients_stop_at_the_first_layer_that_has_some(calls: Counter[str], seed: int) -> None:
    net = scratch.LeNet5()
    y, cache = net.forward(np.random.default_rng(seed).normal(size=(2, 1, 28, 28)).astype(np.float32))
    net.backward(y, cache)
    assert calls == {"convolution": 3, "place": 1, "pooling": 2, "linear": 2, "canvas": 1}
    calls.clear()
    net.gradients(y, cache)
    assert calls == {"convolution": 2, "place": 1, "pooling": 2, "linear": 2}


def test_gradients_stop_within_a_network_within(calls: Counter[str], seed: int) -> None:
    block = scratch.Sequential({"squash": scratch.Tanh(), "fc": scratch.Linear(5, 4), "again": scratch.Linear(4, 4)})
    net = scratch.Sequential({"in": scratch.Identity(), "block": block, "top": scratch.Linear(4, 3)})
    y, cache = net.forward(np.random.default_rng(seed).normal(size=(2, 5)).astype(np.float32))
    net.gradients(y, cache)
    assert calls == {"linear": 2}


def test_a_network_without_parameters_has_no_gradients(seed: int) -> None:
    net = scratch.Sequential({"squash": scratch.Tanh(), "flat": scratch.Flatten()})
    y, cache = net.forward(np.random.default_rng(seed).normal(size=(2, 3, 2)))
    assert net.gradients(y, cache) == {}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(13, 4500), (40_000,), (2, 20_000, 2), (3, 1 << 15), (1 << 15,)])
def test_a_step_of_some_rows_at_a_time_is_a_step_of_all(shape: tuple[int, ...], dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parameter, step = rng.normal(size=shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    expected = parameter - 0.1 * step
    optim.descend(parameter, step, 0.1)
    np.testing.assert_array_equal(parameter, expected)


def test_what_is_alike_is_asked_no_further(seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(2, 3))
    assert validation.alike(x, x.copy())
    strangers = [x[:1], x.T, x.astype(np.float32), x.tolist(), x[0], np.ma.masked_array(x), None]
    assert not any(validation.alike(stranger, x) for stranger in strangers)
    assert not validation.alike(np.array(1.0), np.array(1.0))
    with pytest.raises(TypeError, match="MaskedArray"):
        validation.check_like("dy", np.ma.masked_array(x), x)


def test_a_shape_fits_numbers_that_are_equal_and_any_letter() -> None:
    assert not any(validation.fits(shape, (2, 3)) for shape in ((2, 3, 4), (2,), (3, 3), (2, "N"), ()))
    assert validation.fits((2, 3), (2, 3))
    assert validation.fits((2, 3), ("N", 3))
    assert not validation.fits((2, 3), ("N", 4))


def test_counts_are_whole_numbers_and_no_truth_values() -> None:
    assert [validation.check_count("n", value) for value in (1, 7, np.int64(7))] == [1, 7, 7]
    assert type(validation.check_count("n", np.int64(7))) is int
    with pytest.raises(TypeError, match="True"):
        validation.check_count("n", True)
    with pytest.raises(ValueError, match="at least 1"):
        validation.check_count("n", 0)
