"""The same computations as a textbook writes them in NumPy: what the ideas in `scratch` took the place of.

Each function stands in for one of `scratch` of the same arguments, and comes to the same numbers but for rounding.
What they call of `scratch` they look up when they are called, so that several can be put in place together. Those that
stand in for methods take over whose they are (`functools.wraps`): only what is of `scratch` is recorded and replayed.
"""

import concurrent.futures
import functools
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from scratch import batch, pooling, unfolding
from scratch.capture import quickened
from scratch.module import Sequential
from scratch.parallel import DataParallel
from scratch.passes import Pass
from scratch.unfolding import as_matrix, fold, rows_of
from scratch.validation import Array, Pair, check_array, check_shape

_conv2d, _conv2d_dweight, _conv2d_dx = unfolding.conv2d, unfolding.conv2d_dweight, unfolding.conv2d_dx


def conv2d(x: Array, weight: Array, bias: Array | None, stride: Pair, padding: Pair) -> tuple[Array, Array]:
    """Copy every window under the filter side by side, each pixel kh·kw times; then one product for all places."""
    (kh, kw), (ph, pw), (sh, sw) = weight.shape[2:], padding, stride
    samples, channels, height, width = x.shape
    if unfolding.has_one_place((height, width), (kh, kw), padding):
        return _conv2d(x, weight, bias, stride, padding)
    padded = np.zeros_like(x, shape=(channels, height + 2 * ph, width + 2 * pw, samples), order="C")
    np.copyto(padded[:, ph : ph + height, pw : pw + width], x.transpose(1, 2, 3, 0))
    windows = sliding_window_view(padded, (kh, kw), axis=(1, 2))[:, ::sh, ::sw]
    columns = windows.transpose(0, 4, 5, 1, 2, 3).copy()  # (C, kh, kw, H′, W′, N)
    y = weight.reshape(len(weight), -1) @ columns.reshape(weight[0].size, -1)
    if bias is not None:
        y += bias[:, None]
    return y.reshape(len(weight), *columns.shape[3:]).transpose(3, 0, 1, 2), columns


def conv2d_dweight(dy: Array, columns: Array, kernel_size: Pair, stride: int) -> tuple[Array, Array]:
    """One product with the columns of `conv2d` above."""
    if columns.ndim == 2:
        return _conv2d_dweight(dy, columns, kernel_size, stride)
    delta = dy.transpose(1, 2, 3, 0).reshape(dy.shape[1], -1)
    size = columns.shape[0] * columns.shape[1] * columns.shape[2]
    dweight = delta @ columns.reshape(size, -1).T
    return dweight.reshape(len(delta), -1, *kernel_size), delta.sum(axis=1)


def conv2d_dx(dy: Array, weight: Array, size: Pair, stride: Pair, padding: Pair) -> Array:
    """One product for all kh·kw entries of the filter, then each added where it came from."""
    (kh, kw), (ph, pw), (sh, sw) = weight.shape[2:], padding, stride
    (samples, _, rows, cols), channels = dy.shape, weight.shape[1]
    if unfolding.has_one_place(size, (kh, kw), padding):
        return _conv2d_dx(dy, weight, size, stride, padding)
    delta = dy.transpose(1, 2, 3, 0).reshape(len(weight), -1)
    dcolumns = (weight.reshape(len(weight), -1).T @ delta).reshape(channels, kh, kw, rows, cols, samples)
    padded = np.zeros_like(dy, shape=(channels, size[0] + 2 * ph, size[1] + 2 * pw, samples), order="C")
    for i, j in np.ndindex(kh, kw):
        padded[:, i : i + sh * rows : sh, j : j + sw * cols : sw] += dcolumns[:, i, j]
    return padded[:, ph : ph + size[0], pw : pw + size[1]].transpose(3, 0, 1, 2)


def conv2d_dx_by_entries(dy: Array, weight: Array, size: Pair, stride: Pair, padding: Pair) -> Array:
    """As the last, with the rows outermost: all products at once, then kh·kw sums."""
    (kh, kw), (ph, pw), (sh, sw) = weight.shape[2:], padding, stride
    (samples, _, rows, cols), channels = dy.shape, weight.shape[1]
    if unfolding.has_one_place(size, (kh, kw), padding):
        return _conv2d_dx(dy, weight, size, stride, padding)
    dcolumns = (as_matrix(weight).T @ rows_of(dy)).reshape(rows, kh, channels, kw, cols, samples)
    padded = np.zeros_like(dy, shape=(size[0] + 2 * ph, channels, size[1] + 2 * pw, samples), order="C")
    for i, j in np.ndindex(kh, kw):
        padded[i : i + sh * rows : sh, :, j : j + sw * cols : sw] += dcolumns[:, i, :, j]
    return padded[ph : ph + size[0], :, pw : pw + size[1]].transpose(3, 1, 0, 2)


def conv2d_dx_at_once(dy: Array, weight: Array, size: Pair, stride: Pair, padding: Pair) -> Array:
    """The products for all rows of the filter at once, then rows and columns folded apart, as now."""
    (kh, kw), (ph, _), (sh, sw) = weight.shape[2:], padding, stride
    (samples, _, rows, cols), channels = dy.shape, weight.shape[1]
    if unfolding.has_one_place(size, (kh, kw), padding):
        return _conv2d_dx(dy, weight, size, stride, padding)
    products = (as_matrix(weight).T @ rows_of(dy)).reshape(rows, kh, channels * kw, cols * samples)
    dcolumns = np.zeros_like(dy, shape=(size[0] + 2 * ph, channels * kw, cols * samples), order="C")
    for i in range(kh):
        dcolumns[i : i + sh * rows : sh] += products[:, i]
    return fold(dcolumns.reshape(len(dcolumns), channels, kw, cols, samples), size, sw, padding)


def conv2d_dx_by_rows(dy: Array, weight: Array, size: Pair, stride: Pair, padding: Pair) -> Array:
    """The products for one row of the filter after the other, each added to the rows of the input that it reaches."""
    (kh, kw), (ph, _), (sh, sw) = weight.shape[2:], padding, stride
    (samples, _, rows, cols), channels = dy.shape, weight.shape[1]
    if unfolding.has_one_place(size, (kh, kw), padding):
        return _conv2d_dx(dy, weight, size, stride, padding)
    delta = rows_of(dy)
    dcolumns = np.zeros_like(dy, shape=(size[0] + 2 * ph, channels * kw, cols * samples), order="C")
    for i in range(kh):
        dcolumns[i : i + sh * rows : sh] += weight[:, :, i].reshape(len(weight), -1).T @ delta
    return fold(dcolumns.reshape(len(dcolumns), channels, kw, cols, samples), size, sw, padding)


def along(values: Array, _: Array) -> Array:
    """The values as they are, for NumPy to repeat."""
    return values


def masked(weight: Array, connections: Any) -> Array:
    """Absent links times 0, the table as booleans."""
    return weight if connections is None else weight * connections.reshape(*connections.shape, 1, 1)


def keeping(net: Any, criterion: Any, threads: int, **_: Any) -> DataParallel:
    """Gradients that stay as they are when the next come."""
    return DataParallel(net, criterion, threads)


@functools.wraps(Sequential.gradients)
def gradients(net: Any, dy: Array, cache: Any) -> dict[str, Array]:
    """Go all the way back, to the gradient of the image."""
    grads: dict[str, Array] = net.backward(dy, cache)[1]
    return grads


def linear(x: Array, weight: Array, bias: Array | None) -> Array:
    """Z = x Wᵀ + b, a row per sample."""
    z = x @ weight.T
    return z if bias is None else z + bias


def linear_dweight(dy: Array, x: Array) -> tuple[Array, Array]:
    """Δᵀ x by BLAS, however few samples there are."""
    return dy.T @ x, dy.sum(axis=0)


def linear_dx(dy: Array, weight: Array) -> Array:
    """Δ W, a row per sample."""
    return dy @ weight


def tanh(x: Array, a: float, b: float) -> Array:
    """a·tanh(b·x), with a fresh array for each operation."""
    with np.errstate(over="ignore"):
        y: Array = a * np.tanh(b * x)
    return y


def tanh_backward(dy: Array, y: Array, a: float, b: float) -> Array:
    """Dy · (b/a)(a − y)(a + y), with a fresh array for each operation."""
    return dy * ((b / a) * (a - y) * (a + y))


def sum_pool2d(x: Array, kernel_size: Pair, stride: Pair) -> Array:
    """The kh·kw entries of the windows added one after the other."""
    first, *rest = pooling.taps(x, kernel_size, stride)
    y = np.copy(first)
    for tap in rest:
        y += tap
    return y


def sum_pool2d_backward(dy: Array, size: Pair, kernel_size: Pair, stride: Pair) -> Array:
    """Dy added to the kh·kw entries of the windows, in an array of zeros."""
    dx = np.zeros_like(dy, shape=(*dy.shape[:2], *size))
    for tap in pooling.taps(dx, kernel_size, stride):
        tap += dy
    return dx


@functools.wraps(pooling.Subsample2d.backward)
def subsample_backward(layer: pooling.Subsample2d, dy: Array, cache: Any) -> tuple[Array, dict[str, Array]]:
    """The gradients of sub-sampling by products and sums."""
    dx = pooling.sum_pool2d_backward(
        dy * unfolding.in_maps(layer.weight, dy), cache.size, layer.kernel_size, layer.stride
    )
    return dx, {"weight": (dy * cache.sums).sum(axis=(0, 2, 3)), "bias": dy.sum(axis=(0, 2, 3))}


def fits(shape: Any, expected: Any) -> bool:
    """Whether a shape is as expected, by a generator."""
    return len(shape) == len(expected) and all(
        isinstance(want, str) or have == want for have, want in zip(shape, expected, strict=True)
    )


def check_input(layer: Any, x: Array, dtype: Any = None) -> None:
    """Every map asked for the shape of its output."""
    check_array("x", x, dtype)
    check_shape("x", x, ("N", layer.channels, "H", "W"))
    layer.output_shape(x.shape[1:])


def check_room(layer: Any, size: tuple[int, ...]) -> None:
    """The same for a convolution."""
    layer.output_shape((layer.in_channels, *size))


def descend(parameter: Array, step: Array, lr: float) -> None:
    """P ← p − α·step, by way of an array as large as p."""
    parameter -= lr * step


class InThreads(DataParallel):
    """Two halves of a batch in two threads of one process, which hand Python's lock to each other."""

    def __init__(self, net: Any, criterion: Any, _: int, **__: Any) -> None:
        super().__init__(net, criterion, threads=2)
        self._executor = concurrent.futures.ThreadPoolExecutor(1)
        self._own = quickened(net)  # a recording serves one thread at a time

    def gradients(self, x: Array, target: Any, masks: Any = None) -> Pass:
        """Forward and backward pass over a batch."""
        first, *others = self.plan(x)

        def half(net: Any, pieces: list[slice]) -> Pass:
            part = slice(pieces[0].start, pieces[-1].stop)
            some = batch.take(masks, part)
            return batch.gradients(net, self.criterion, x[part], target[part], some, pieces=len(pieces), of=len(x))

        second = [self._executor.submit(half, self._own, pieces) for pieces in others]
        return batch.add([half(self._quick, first), *(one.result() for one in second)])

    def close(self) -> None:
        """End the thread."""
        self._executor.shutdown()
        super().close()
