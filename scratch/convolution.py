"""Convolution in one and two dimensions: one filter slid over all places, with the same weights at each.

As in torch, what is called convolution is the cross-correlation: the filter is not flipped.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scratch import init
from scratch.module import Module, Shape
from scratch.sizes import convolution_parameters, output_size
from scratch.unfolding import conv2d, conv2d_dweight, conv2d_dx
from scratch.validation import (
    Array,
    Pair,
    check_array,
    check_count,
    check_generator,
    check_input_shape,
    check_pair,
    check_shape,
    check_table,
)

Table: TypeAlias = NDArray[np.bool_] | Sequence[Sequence[bool]]
"""Which input channel (column) feeds which output channel (row)."""


def in_plane(x: Array) -> Array:
    """Signals (N, C, L), or filters, as images of height 1: (N, C, 1, L). Images stay as they are."""
    return x[:, :, None] if x.ndim == 3 else x


def masked(weight: Array, connections: NDArray[np.bool_] | None) -> Array:
    """m[o, c] · w[o, c, …]: absent links times 0; without a table the weight itself."""
    if connections is None:
        return weight
    links = np.broadcast_to(connections.reshape(*connections.shape, *(1,) * (weight.ndim - 2)), weight.shape)
    return weight * links.astype(weight.dtype)  # a product with booleans takes several times as long


def initial_weight(
    shape: tuple[int, ...], connections: NDArray[np.bool_] | None, *, rng: np.random.Generator | None, dtype: DTypeLike
) -> Array:
    """`init.lecun_uniform` with the fan-in that each output channel has by the table; absent links are 0."""
    rng = check_generator("rng", rng)
    if connections is None:
        return init.lecun_uniform(shape, rng=rng, dtype=dtype)
    fan_in = connections.sum(axis=1) * math.prod(shape[2:])
    weight = init.lecun_uniform(shape, rng=rng, dtype=dtype, fan_in=fan_in)
    weight[~connections] = 0
    return weight


class ConvolutionCache(NamedTuple):
    """The columns of x as `conv2d` returned them, the weight that was applied, and the shapes of x and y."""

    columns: Array
    weight: Array
    shape: Shape
    output_shape: Shape


class _Convolution(Module):
    """What `Conv1d` and `Conv2d` share; one dimension is two with images of height 1."""

    axes: tuple[str, ...]
    """Letters of the axes that the filter slides along."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        *,
        bias: bool,
        connections: Table | None,
        dtype: DTypeLike,
        rng: np.random.Generator | None,
    ) -> None:
        self.in_channels = check_count("in_channels", in_channels)
        self.out_channels = check_count("out_channels", out_channels)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        links = (self.out_channels, self.in_channels)
        self.connections = None if connections is None else check_table("connections", connections, links)
        self.weight = initial_weight((*links, *kernel_size), self.connections, rng=rng, dtype=dtype)
        self.bias = init.zeros(links[:1], dtype=dtype) if bias else None

    def parameters(self) -> dict[str, Array]:
        """`weight` and, if there is one, `bias`."""
        return {"weight": self.weight} if self.bias is None else {"weight": self.weight, "bias": self.bias}

    def forward(self, x: Array) -> tuple[Array, ConvolutionCache]:
        """(N, in_channels, H, W) -> (N, out_channels, H′, W′), H′ = ⌊(H + 2·ph − kh)/sh⌋ + 1 and W′ likewise.

        `Conv1d`: (N, in_channels, L) -> (N, out_channels, L′).

        Raises
        ------
        TypeError, ValueError
            If the dtype of x is not the parameters', its shape another, or the kernel larger than the padded input.
        """
        check_array("x", x, self.weight.dtype)
        check_shape("x", x, ("N", self.in_channels, *self.axes))
        self._check_room(x.shape[2:])
        plane, weight = in_plane(x), in_plane(masked(self.weight, self.connections))
        y, columns = conv2d(plane, weight, self.bias, *self._steps())
        y = y[:, :, 0] if x.ndim == 3 else y
        return y, ConvolutionCache(columns, weight, x.shape, y.shape)

    def backward(self, dy: Array, cache: ConvolutionCache) -> tuple[Array, dict[str, Array]]:
        """Dy, of the shape of y -> dx, of the shape of x, and the gradients of `weight` and `bias`."""
        grads = self.gradients(dy, cache)
        *_, height, width = (1, *cache.shape[2:])
        dx = conv2d_dx(in_plane(dy), cache.weight, (height, width), *self._steps())
        return dx.reshape(cache.shape), grads

    def gradients(self, dy: Array, cache: ConvolutionCache) -> dict[str, Array]:
        """Dy, of the shape of y -> the gradients of `weight` and `bias` alone."""
        check_array("dy", dy, self.weight.dtype)
        check_shape("dy", dy, cache.output_shape)
        (kh, kw), (stride, _) = cache.weight.shape[2:], self._steps()[0]
        dweight, dbias = conv2d_dweight(in_plane(dy), cache.columns, (kh, kw), stride)
        dweight = masked(dweight.reshape(self.weight.shape), self.connections)
        return {"weight": dweight} if self.bias is None else {"weight": dweight, "bias": dbias}

    @property
    def num_parameters(self) -> int:
        """The weights of the links that are there, and the biases."""
        bias = self.bias is not None
        return convolution_parameters(self.in_channels, self.out_channels, self.kernel_size, bias, self.connections)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(in_channels, H, W) -> (out_channels, H′, W′); `Conv1d`: (in_channels, L) -> (out_channels, L′)."""
        check_input_shape(input_shape, (self.in_channels, *self.axes))
        sizes = zip(input_shape[1:], self.kernel_size, self.stride, self.padding, strict=True)
        return (self.out_channels, *(output_size(*axis) for axis in sizes))

    def _check_room(self, size: Shape) -> None:
        """Refuse maps, padded, that are smaller than the filter."""
        if any(n + 2 * p < k for n, k, p in zip(size, self.kernel_size, self.padding, strict=True)):
            self.output_shape((self.in_channels, *size))  # says so

    def num_connections(self, input_shape: Shape) -> int:
        """The parameters, biases included, once for each place of the filter."""
        return self.num_parameters * math.prod(self.output_shape(input_shape)[1:])

    def num_multiply_adds(self, input_shape: Shape) -> int:
        """The weights of the links that are there, once for each place of the filter."""
        biases = 0 if self.bias is None else self.out_channels
        return (self.num_parameters - biases) * math.prod(self.output_shape(input_shape)[1:])

    def _steps(self) -> tuple[Pair, Pair]:
        """Stride and padding in the plane."""
        (*sh, sw), (*ph, pw) = self.stride, self.padding
        return (sh[0] if sh else 1, sw), (ph[0] if ph else 0, pw)


class Conv1d(_Convolution):
    """Convolution in one dimension.

    y[n, o, p] = b[o] + Σ_cj m[o, c] · w[o, c, j] · x[n, c, p·s + j − padding]

    Parameters
    ----------
    in_channels, out_channels, bias, connections, dtype, rng:
        As for `Conv2d`.
    kernel_size, stride, padding:
        Ints, in samples of the signal.

    Attributes
    ----------
    weight:
        (out_channels, in_channels, k)
    bias:
        (out_channels,), or None
    connections:
        (out_channels, in_channels), or None

    Raises
    ------
    TypeError, ValueError
        As for `Conv2d`.

    Source: 卷积层 / 一维卷积.
    """

    axes = ("L",)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        *,
        bias: bool = True,
        connections: Table | None = None,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        sizes = (check_count("kernel_size", kernel_size),)
        strides, paddings = (check_count("stride", stride),), (check_count("padding", padding, least=0),)
        super().__init__(
            *(in_channels, out_channels, sizes, strides, paddings),
            bias=bias,
            connections=connections,
            dtype=dtype,
            rng=rng,
        )


class Conv2d(_Convolution):
    """Convolution layer (卷积层), local connections with shared weights.

    y[n, o, p, q] = b[o] + Σ_cij m[o, c] · w[o, c, i, j] · x[n, c, p·sh + i − ph, q·sw + j − pw]

    Parameters
    ----------
    in_channels, out_channels:
        D₁ and K of the slides, each at least 1.
    kernel_size:
        F: the filter's extent in pixels; one int, or (height, width).
    stride:
        S: pixels from one window to the next; one int, or (height, width).
    padding:
        P: border of zeros on each side, in pixels; one int, or (height, width).
    bias:
        Whether there is a b.
    connections:
        m: boolean table (out_channels, in_channels), such as LeNet-5's between S2 and C3; None connects all. The
        weight is stored dense and multiplied by the table in forward, so the gradient of an absent link is exactly 0
        (NaN, as 0·∞ is, where an unlinked map holds ∞) and no optimiser can move it into the output.
    dtype:
        float32 or float64, of the parameters and so of the input.
    rng:
        Source of the initial weights; None draws fresh entropy. Weights are `init.lecun_uniform` over the links that
        are there, absent links 0, biases 0.

    Attributes
    ----------
    weight:
        (out_channels, in_channels, kh, kw)
    bias:
        (out_channels,), or None
    connections:
        (out_channels, in_channels), or None

    Raises
    ------
    TypeError, ValueError
        For a size, stride or padding out of its range, a table of another shape or dtype or without a link into some
        output channel, a dtype other than float32 and float64, or an rng that is no generator.

    Source: 卷积层 / 二维卷积 and 操作流程; the table: 典型实例, "S2-C3 层采用了连接表". The slides' volumes are
    W×H×D; ours are torch's (N, C, H, W).
    """

    axes = ("H", "W")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        *,
        bias: bool = True,
        connections: Table | None = None,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        sizes = check_pair("kernel_size", kernel_size)
        strides, paddings = check_pair("stride", stride), check_pair("padding", padding, least=0)
        super().__init__(
            *(in_channels, out_channels, sizes, strides, paddings),
            bias=bias,
            connections=connections,
            dtype=dtype,
            rng=rng,
        )
