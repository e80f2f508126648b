"""Convolution in one and two dimensions; as torch's, the cross-correlation."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from torchref import init
from torchref.module import Module, Shape
from torchref.sizes import convolution_parameters, output_size
from torchref.validation import (
    Pair,
    check_count,
    check_dtype,
    check_generator,
    check_input_shape,
    check_pair,
    check_shape,
    check_table,
    check_tensor,
)

Table: TypeAlias = Tensor | Sequence[Sequence[bool]]
"""Which input channel (column) feeds which output channel (row)."""


def masked(weight: Tensor, connections: Tensor | None) -> Tensor:
    """m[o, c] · w[o, c, …]: absent links times 0; without a table the weight itself."""
    if connections is None:
        return weight
    return weight * connections.reshape(*connections.shape, *(1,) * (weight.ndim - 2))


def initial_weight(
    shape: tuple[int, ...],
    connections: Tensor | None,
    *,
    rng: torch.Generator | None,
    dtype: torch.dtype,
    device: torch.device | str | None,
) -> Tensor:
    """`init.lecun_uniform` with the fan-in that each output channel has by the table; absent links are 0."""
    rng = check_generator("rng", rng)
    if connections is None:
        return init.lecun_uniform(shape, rng=rng, dtype=dtype, device=device)
    fan_in = connections.sum(dim=1) * math.prod(shape[2:])
    weight = init.lecun_uniform(shape, rng=rng, dtype=dtype, fan_in=fan_in)
    weight[~connections] = 0
    return weight.to(device)


class _Convolution(Module, _ConvNd):
    """What `Conv1d` and `Conv2d` share: `torch.nn`'s, with a table of connections, strict about shape and dtype."""

    axes: tuple[str, ...]
    """Letters of the axes that the filter slides along."""
    connections: Tensor | None

    def _begin(
        self,
        connections: Table | None,
        dtype: torch.dtype,
        rng: torch.Generator | None,
        device: torch.device | str | None,
    ) -> None:
        """Set the initial parameters and the mask."""
        links = (self.out_channels, self.in_channels)
        table = None if connections is None else check_table("connections", connections, links)
        weight = initial_weight((*links, *self.kernel_size), table, rng=rng, dtype=dtype, device=device)
        self.weight = nn.Parameter(weight)
        if self.bias is not None:
            self.bias = nn.Parameter(init.zeros(links[:1], dtype=dtype, device=device))
        # Not persistent: the state dict stays that of a plain nn.Conv2d.
        self.register_buffer("connections", None if table is None else table.to(device), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H′, W′), H′ = ⌊(H + 2·ph − kh)/sh⌋ + 1 and W′ likewise.

        `Conv1d`: (N, in_channels, L) -> (N, out_channels, L′).

        Raises
        ------
        TypeError, ValueError
            If the dtype of x is not the parameters', its shape another, or the kernel larger than the padded input.
        """
        check_tensor("x", x, self.weight.dtype)
        check_shape("x", x, ("N", self.in_channels, *self.axes))
        self.output_shape(tuple(x.shape[1:]))
        return self._conv_forward(x, masked(self.weight, self.connections), self.bias)

    def extra_repr(self) -> str:
        """torch's own, and how many links there are."""
        links = "" if self.connections is None else f", links={int(self.connections.sum())}/{self.connections.numel()}"
        base: str = super().extra_repr()  # type: ignore[no-untyped-call]  # as torch ships it
        return base + links

    @property
    def num_parameters(self) -> int:
        """The weights of the links that are there, and the biases."""
        bias = self.bias is not None
        return convolution_parameters(self.in_channels, self.out_channels, self.kernel_size, bias, self.connections)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(in_channels, H, W) -> (out_channels, H′, W′); `Conv1d`: (in_channels, L) -> (out_channels, L′)."""
        check_input_shape(input_shape, (self.in_channels, *self.axes))
        assert not isinstance(self.padding, str)  # nn.Conv2d also knows "same"; this one does not
        sizes = zip(input_shape[1:], self.kernel_size, self.stride, self.padding, strict=True)
        return (self.out_channels, *(output_size(*axis) for axis in sizes))

    def num_connections(self, input_shape: Shape) -> int:
        """The parameters, biases included, once for each place of the filter."""
        return self.num_parameters * math.prod(self.output_shape(input_shape)[1:])

    def num_multiply_adds(self, input_shape: Shape) -> int:
        """The weights of the links that are there, once for each place of the filter."""
        biases = 0 if self.bias is None else self.out_channels
        return (self.num_parameters - biases) * math.prod(self.output_shape(input_shape)[1:])


class Conv1d(_Convolution, nn.Conv1d):
    """Convolution in one dimension: `torch.nn.Conv1d` with a table of connections.

    y[n, o, p] = b[o] + Σ_cj m[o, c] · w[o, c, j] · x[n, c, p·s + j − padding]

    Parameters
    ----------
    in_channels, out_channels, bias, connections, dtype, rng, device:
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
        dtype: torch.dtype = torch.float32,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        # On the meta device: nn.Conv1d would draw its weights from torch's global generator.
        super().__init__(
            check_count("in_channels", in_channels),
            check_count("out_channels", out_channels),
            check_count("kernel_size", kernel_size),
            check_count("stride", stride),
            check_count("padding", padding, least=0),
            bias=bool(bias),
            device="meta",
            dtype=check_dtype("dtype", dtype),
        )
        self._begin(connections, dtype, rng, device)


class Conv2d(_Convolution, nn.Conv2d):
    """Convolution layer (卷积层): `torch.nn.Conv2d` with a table of connections.

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
        Boolean table (out_channels, in_channels), such as LeNet-5's between S2 and C3; None connects all. A
        non-persistent buffer that multiplies the weight in forward: autograd then gives absent links exactly 0.
    dtype:
        torch.float32 or torch.float64, of the parameters and so of the input.
    rng:
        Source of the initial weights; None draws fresh entropy. Weights are `init.lecun_uniform` over the links that
        are there, absent links 0, biases 0.
    device:
        Where the parameters live; None is the CPU.

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

    Source: 卷积层 / 二维卷积 and 操作流程; the table: 典型实例, "S2-C3 层采用了连接表".
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
        dtype: torch.dtype = torch.float32,
        rng: torch.Generator | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(
            check_count("in_channels", in_channels),
            check_count("out_channels", out_channels),
            check_pair("kernel_size", kernel_size),
            check_pair("stride", stride),
            check_pair("padding", padding, least=0),
            bias=bool(bias),
            device="meta",
            dtype=check_dtype("dtype", dtype),
        )
        self._begin(connections, dtype, rng, device)
