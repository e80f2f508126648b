"""Sub-sampling: each map shrunk by one number per window, and LeNet-5's kind with a coefficient and bias to learn."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scratch import init
from scratch.module import Module, Shape
from scratch.sizes import output_size
from scratch.unfolding import in_maps
from scratch.validation import (
    Array,
    Pair,
    check_array,
    check_count,
    check_dtype,
    check_input_shape,
    check_like,
    check_pair,
    check_shape,
)


def taps(x: Array, kernel_size: Pair, stride: Pair) -> Iterator[Array]:
    """The kh·kw views of x (N, C, H, W) that hold, for all windows at once, the window's entry (i, j)."""
    (kh, kw), (sh, sw) = kernel_size, stride
    rows, cols = output_size(x.shape[2], kh, sh), output_size(x.shape[3], kw, sw)
    for i, j in np.ndindex(kh, kw):
        yield x[:, :, i : i + sh * rows : sh, j : j + sw * cols : sw]


def entries(x: Array, axis: int, kernel_size: int, stride: int) -> Iterator[Array]:
    """The views of x that hold, for all windows along one axis at once, the window's first, second, … entry."""
    places = (x.shape[axis] - kernel_size) // stride + 1
    for i in range(kernel_size):
        yield x[(slice(None),) * axis + (slice(i, i + stride * places, stride),)]


def sum_pool2d(x: Array, kernel_size: Pair, stride: Pair) -> Array:
    """y[n, c, p, q] = Σ_ij x[n, c, p·sh + i, q·sw + j]: (N, C, H, W) -> (N, C, H′, W′).

    Rows are added to rows, then columns to columns: kh + kw sums instead of kh·kw.
    """
    for axis in (2, 3):
        first, *rest = entries(x, axis, kernel_size[axis - 2], stride[axis - 2])
        x = np.add(first, rest[0]) if rest else np.copy(first)  # unlike first.copy(), in the memory order of x
        for entry in rest[1:]:
            x += entry
    return x


def sum_pool2d_backward(dy: Array, size: Pair, kernel_size: Pair, stride: Pair) -> Array:
    """Each pixel receives dy of every window that it is in, a sum where windows overlap: -> (N, C, H, W)."""
    for axis in (3, 2):
        dy = spread(dy, axis, size[axis - 2], kernel_size[axis - 2], stride[axis - 2])
    return dy


def spread(dy: Array, axis: int, size: int, kernel_size: int, stride: int) -> Array:
    """The transpose of the sum over the `entries` of an axis: dy to each of them, 0 to what no window has seen."""
    shape = (*dy.shape[:axis], size, *dy.shape[axis + 1 :])
    if stride == kernel_size and size == dy.shape[axis] * kernel_size:  # each pixel is in one window: no sums, no gaps
        dx = np.empty_like(dy, shape=shape)
        for entry in entries(dx, axis, kernel_size, stride):
            np.copyto(entry, dy)
        return dx
    dx = np.zeros_like(dy, shape=shape)
    for entry in entries(dx, axis, kernel_size, stride):
        entry += dy
    return dx


def max_pool2d(x: Array, kernel_size: Pair, stride: Pair) -> tuple[Array, NDArray[np.intp]]:
    """y[n, c, p, q] = max_ij x[n, c, p·sh + i, q·sw + j], and which of the window's entries won, as i·kw + j.

    Of equal entries the first wins; NaN beats all numbers, and the last NaN the others: torch's conventions.
    """
    first, *rest = taps(x, kernel_size, stride)
    y = np.copy(first)
    winner = np.zeros_like(y, np.intp)
    for index, tap in enumerate(rest, start=1):
        better = (tap > y) | np.isnan(tap)
        np.copyto(y, tap, where=better)
        np.copyto(winner, index, where=better)
    return y, winner


def max_pool2d_backward(dy: Array, winner: NDArray[np.intp], size: Pair, kernel_size: Pair, stride: Pair) -> Array:
    """Each pixel receives dy of every window that it won: -> (N, C, H, W)."""
    dx = np.zeros_like(dy, shape=(*dy.shape[:2], *size))
    for index, tap in enumerate(taps(dx, kernel_size, stride)):
        tap += np.where(winner == index, dy, 0)
    return dx


class PoolingCache(NamedTuple):
    """The output (for its shape and dtype) and (H, W) of the input."""

    y: Array
    size: Pair


class MaxPoolCache(NamedTuple):
    """The output, (H, W) of the input, and which entry of its window each output is."""

    y: Array
    size: Pair
    winner: NDArray[np.intp]


class SubsampleCache(NamedTuple):
    """The sum over each window (N, C, H′, W′) and (H, W) of the input."""

    sums: Array
    size: Pair


class _Pooling(Module):
    """What the three share: windows of `kernel_size`, `stride` apart, in each map for itself."""

    channels: int | str = "C"
    """How many maps there are; a letter where any number will do."""

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None) -> None:
        self.kernel_size = check_pair("kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else check_pair("stride", stride)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H, W) -> (C, H′, W′)."""
        check_input_shape(input_shape, (self.channels, "H", "W"))
        sizes = zip(input_shape[1:], self.kernel_size, self.stride, strict=True)
        return (input_shape[0], *(output_size(*axis) for axis in sizes))

    def num_connections(self, input_shape: Shape) -> int:
        """Every pixel of the window, and the bias if there is one, once for each output."""
        biases = len(self.parameters().get("bias", ()))
        inputs = math.prod(self.kernel_size) + bool(biases)
        return math.prod(self.output_shape(input_shape)) * inputs

    def check_input(self, x: Array, dtype: np.dtype[np.floating] | None = None) -> None:
        """Refuse what is no batch of maps with room for a window."""
        check_array("x", x, dtype)
        check_shape("x", x, ("N", self.channels, "H", "W"))
        if x.shape[2] < self.kernel_size[0] or x.shape[3] < self.kernel_size[1]:
            self.output_shape(x.shape[1:])  # says so


class AvgPool2d(_Pooling):
    """Average over each window: y[n, c, p, q] = 1/(kh·kw) Σ_ij x[n, c, p·sh + i, q·sw + j].

    Parameters
    ----------
    kernel_size:
        F: the window's extent in pixels; one int, or (height, width).
    stride:
        S: pixels from one window to the next; one int, or (height, width); None for the kernel size. Smaller, the
        windows overlap; larger, there are gaps between them.

    Shape (N, C, H, W), float32 or float64.

    Raises
    ------
    TypeError, ValueError
        For sizes that are no ints of at least 1.

    Source: 子采样层 / 操作流程. Zero parameters; no padding, as the slide advises.
    """

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None) -> None:
        super().__init__(kernel_size, stride)

    def forward(self, x: Array) -> tuple[Array, PoolingCache]:
        """(N, C, H, W) -> (N, C, H′, W′), H′ = ⌊(H − kh)/sh⌋ + 1 and W′ likewise; refused if a kernel does not fit."""
        self.check_input(x)
        y = sum_pool2d(x, self.kernel_size, self.stride)
        y /= math.prod(self.kernel_size)
        return y, PoolingCache(y, x.shape[2:])

    def backward(self, dy: Array, cache: PoolingCache) -> tuple[Array, dict[str, Array]]:
        """dy/(kh·kw), to each pixel of the window."""
        check_like("dy", dy, cache.y)
        share = dy / math.prod(self.kernel_size)
        return sum_pool2d_backward(share, cache.size, self.kernel_size, self.stride), {}

    def num_multiply_adds(self, input_shape: Shape) -> int:
        """One per output: the sum times 1/(kh·kw)."""
        return math.prod(self.output_shape(input_shape))


class MaxPool2d(_Pooling):
    """Maximum of each window: y[n, c, p, q] = max_ij x[n, c, p·sh + i, q·sw + j].

    The gradient goes to the entry that won; of equal ones, to the first in the window (torch's convention).

    Parameters
    ----------
    kernel_size, stride:
        As for `AvgPool2d`.

    Shape (N, C, H, W), float32 or float64.

    Raises
    ------
    TypeError, ValueError
        For sizes that are no ints of at least 1.

    Source: 子采样层 (the picture, after CS231n); the usual replacement of LeNet-5's sub-sampling.
    """

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None = None) -> None:
        super().__init__(kernel_size, stride)

    def forward(self, x: Array) -> tuple[Array, MaxPoolCache]:
        """(N, C, H, W) -> (N, C, H′, W′), H′ = ⌊(H − kh)/sh⌋ + 1 and W′ likewise; refused if a kernel does not fit."""
        self.check_input(x)
        y, winner = max_pool2d(x, self.kernel_size, self.stride)
        return y, MaxPoolCache(y, x.shape[2:], winner)

    def backward(self, dy: Array, cache: MaxPoolCache) -> tuple[Array, dict[str, Array]]:
        """dy to the entry of the window that won."""
        check_like("dy", dy, cache.y)
        return max_pool2d_backward(dy, cache.winner, cache.size, self.kernel_size, self.stride), {}


class Subsample2d(_Pooling):
    """LeNet-5's sub-sampling: y[n, c, p, q] = w[c] · Σ_ij x[n, c, p·sh + i, q·sw + j] + b[c].

    The window is added up, not averaged; the coefficient w, one per map, and the bias are trained.

    Parameters
    ----------
    channels:
        Number of maps, at least 1.
    kernel_size, stride:
        As for `AvgPool2d`.
    dtype:
        float32 or float64, of the parameters and so of the input.

    Attributes
    ----------
    weight:
        The coefficients (channels,). They start at 1/(kh·kw), where the layer is `AvgPool2d`; the paper does not say
        how it began. Weight decay and `L2Penalty` count them among the weights.
    bias:
        (channels,), from 0

    Raises
    ------
    TypeError, ValueError
        For sizes that are no ints of at least 1, or a dtype other than float32 and float64.

    Source: LeCun et al. 1998, section II.B, layer S2. The slide's 子采样层 has no parameters ("Introduces zero
    parameters"); LeNet-5's has two per map.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int | Pair,
        stride: int | Pair | None = None,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(kernel_size, stride)
        self.channels = check_count("channels", channels)
        self.weight = np.full(self.channels, 1 / math.prod(self.kernel_size), check_dtype("dtype", dtype))
        self.bias = init.zeros((self.channels,), dtype=dtype)

    def parameters(self) -> dict[str, Array]:
        """`weight`, the coefficients, and `bias`."""
        return {"weight": self.weight, "bias": self.bias}

    def forward(self, x: Array) -> tuple[Array, SubsampleCache]:
        """(N, channels, H, W) -> (N, channels, H′, W′), H′ = ⌊(H − kh)/sh⌋ + 1 and W′ likewise.

        Raises
        ------
        TypeError, ValueError
            If the dtype of x is not the parameters', its shape not (N, channels, H, W), or the kernel larger than it.
        """
        self.check_input(x, self.weight.dtype)
        sums = sum_pool2d(x, self.kernel_size, self.stride)
        y = sums * in_maps(self.weight, sums)
        y += in_maps(self.bias, sums)
        return y, SubsampleCache(sums, x.shape[2:])

    def backward(self, dy: Array, cache: SubsampleCache) -> tuple[Array, dict[str, Array]]:
        """δ = dy: w·δ to each pixel of the window; ∂J/∂w[c] = Σ δ · sum of the window, ∂J/∂b[c] = Σ δ."""
        check_like("dy", dy, cache.sums)
        dx = sum_pool2d_backward(dy * in_maps(self.weight, dy), cache.size, self.kernel_size, self.stride)
        dweight, dbias = np.einsum("nchw,nchw->c", dy, cache.sums), np.einsum("nchw->c", dy)
        return dx, {"weight": dweight, "bias": dbias}

    def num_multiply_adds(self, input_shape: Shape) -> int:
        """One per output: coefficient times sum, plus bias."""
        return math.prod(self.output_shape(input_shape))
