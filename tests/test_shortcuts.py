"""What is there for speed: how maps lie in memory, windows without copies, what is left out, and steps row by row.

That `gradients` and `predict` return the bits of `backward` and `forward` is asked by the harness, of every row.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

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


def transposed(size: tuple[int, int], weight: np.ndarray, delta: np.ndarray, stride: Any, padding: Any) -> np.ndarray:
    """The input gradient of a convolution by its definition: one loop for each index of the filter and of δ."""
    (samples, channels), (height, width) = (len(delta), weight.shape[1]), size
    padded = np.zeros((samples, channels, height + 2 * padding[0], width + 2 * padding[1]))
    for o, c, i, j in np.ndindex(weight.shape):
        for p, q in np.ndindex(delta.shape[2:]):
            padded[:, c, p * stride[0] + i, q * stride[1] + j] += weight[o, c, i, j] * delta[:, o, p, q]
    return padded[:, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        ((7, 6), (3, 2), (1, 1), (0, 0)),  # rows used by all of the filter, with those at the borders used by some
        ((7, 6), (3, 2), (1, 1), (2, 1)),
        ((4, 3), (3, 2), (1, 1), (0, 0)),  # fewer places than the filter has rows: none is used by all
        ((4, 3), (4, 1), (1, 1), (0, 0)),  # one place
        ((2, 3), (5, 3), (1, 1), (2, 0)),  # the filter higher than the image
        ((8, 7), (3, 3), (2, 2), (0, 0)),  # a stride smaller than the filter, with a rest
        ((9, 9), (5, 2), (2, 3), (1, 1)),
        ((9, 8), (3, 2), (3, 2), (0, 0)),  # equal
        ((9, 8), (2, 1), (4, 3), (0, 0)),  # larger: rows that nothing has used, between and behind
        ((5, 5), (1, 1), (7, 6), (0, 0)),  # and larger than the image
        ((6, 5), (2, 2), (5, 4), (2, 1)),
    ],
)
@pytest.mark.parametrize("samples", [0, 1, 3])
def test_input_rows_gather_from_all_rows_of_delta_that_used_them(
    size: Any, kernel: Any, stride: Any, padding: Any, samples: int, seed: int
) -> None:
    """In every memory order that δ may have: by the one it likes best, and by 23 others."""
    rng = np.random.default_rng(seed)
    conv = scratch.Conv2d(2, 4, kernel, stride, padding, dtype=np.float64, rng=rng)
    conv.weight[...] = drawn(rng, *conv.weight.shape)
    y, cache = conv.forward(drawn(rng, samples, 2, *size))
    dy = drawn(rng, *y.shape)
    expected = transposed(size, conv.weight, dy, stride, padding)
    np.testing.assert_array_equal(conv.backward(dy[::-1].copy()[::-1], cache)[0], expected)
    for order in itertools.permutations(range(4)):
        delta = np.ascontiguousarray(dy.transpose(order)).transpose(np.argsort(order))
        dx, grads = conv.backward(delta, cache)
        np.testing.assert_array_equal(dx, expected)
        np.testing.assert_array_equal(grads["bias"], dy.sum(axis=(0, 2, 3)))


@pytest.mark.parametrize("strange", [np.inf, np.nan])
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 2), (2, 0), (3, 1), (4, 0)])
def test_what_was_not_used_is_not_multiplied(strange: float, stride: int, padding: int) -> None:
    """0·∞ is NaN: an infinite weight reaches the pixels that it was used for, and no other."""
    conv = scratch.Conv2d(1, 1, 3, stride, padding, dtype=np.float64)
    for i, j in np.ndindex(3, 3):
        conv.weight[...] = 1
        conv.weight[0, 0, i, j] = strange
        with np.errstate(invalid="ignore"):
            y, cache = conv.forward(np.ones((2, 1, 8, 8)))
            dx, _ = conv.backward(np.ones_like(y), cache)
            expected = transposed((8, 8), conv.weight, np.ones_like(y), (stride, stride), (padding, padding))
        np.testing.assert_array_equal(dx, expected)
        assert np.isfinite(dx).any() or padding == 2  # all of the filter reaches every pixel then


@pytest.mark.parametrize(
    ("count", "step", "length"), [(3, 1, 3), (3, 1, 5), (2, 3, 9), (2, 3, 5), (1, 4, 1), (0, 2, 3)]
)
def test_what_lies_between_sums_is_zero(count: int, step: int, length: int) -> None:
    x = np.full((length, 2), np.nan)
    kept = [i * step for i in range(count) if i * step < length]
    x[kept] = 1
    unfolding.zero_between(x, count, step)
    np.testing.assert_array_equal(x[:, 0], np.isin(np.arange(length), kept))


def test_numbers_per_map_are_written_out_along_a_row(seed: int) -> None:
    maps = np.random.default_rng(seed).normal(size=(6, 2, 9, 4)).transpose(3, 1, 0, 2)
    row = unfolding.in_maps(np.array([1.0, 2.0]), maps)
    assert row.shape == (4, 2, 1, 9)
    assert rows_outermost(row)
    np.testing.assert_array_equal(row, np.broadcast_to([[[[1.0]], [[2.0]]]], row.shape))
    assert unfolding.in_maps(np.ones(2, np.float32), maps[:0]).shape == (0, 2, 1, 9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("b", [1e-3, 2 / 3, 1.0, 3.7, 1e3])
@pytest.mark.parametrize("a", [0.1, 1.0, 1.7159, 1 / 3, 1e-3, 977.7])
def test_a_saturated_unit_has_no_slope_and_no_unit_has_one_below(a: float, b: float, dtype: str) -> None:
    squash, odd = scratch.Tanh(a, b), np.linspace(-12, 12, 4001) / b
    x = np.concatenate([odd, [-1e30, 1e30, -np.inf, np.inf, 0.0]]).astype(dtype)
    y, cache = squash.forward(x)
    slope, _ = squash.backward(np.ones_like(x), cache)
    assert slope.dtype == dtype
    assert (slope >= 0).all()
    assert (slope[np.abs(y) == np.abs(y).max()] == 0).all()
    assert (slope[np.abs(y) < np.abs(y).max() * (1 - 1e-5)] > 0).all()
    assert (abs(y[-5:-1]) == np.abs(y).max()).all()
    leaf = torch.tensor(x, requires_grad=True)
    (a * torch.tanh(b * leaf)).sum().backward()
    eps = np.finfo(dtype).eps
    finite = np.isfinite(x)  # autograd has 0·b there, as here
    # a² − y² is off by a rounding of a², the larger of the two.
    np.testing.assert_allclose(slope[finite], leaf.grad.numpy()[finite], rtol=64 * eps, atol=4 * eps * a * b)
    assert np.isnan(squash.backward(x[:1], scratch.activation.OutputCache(np.full_like(x[:1], np.nan)))[0]).all()


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
    count(unfolding, "linear_dx", "place")
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
