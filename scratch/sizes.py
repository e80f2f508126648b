"""How large the output of a convolution or pooling layer is, and how many parameters a convolution has."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scratch.validation import check_count, check_table


def output_size(size: int, kernel_size: int, stride: int = 1, padding: int = 0) -> int:
    """⌊(N + 2P − F) / S⌋ + 1 along one axis.

    Where the stride does not divide, the last window that still fits is the last one and the pixels behind it are not
    seen: floored, as torch does. The slide's formula has no floor; 7×7 with 3×3 at stride 3 would be "2.33".

    Parameters
    ----------
    size, kernel_size, stride, padding:
        N, F, S and P, in pixels.

    Raises
    ------
    ValueError
        If the kernel or the stride is below 1, the padding below 0, or the kernel larger than the padded input.
    TypeError
        If one of them is no int.

    Source: 卷积层的输出尺度, (N + 2P − F)/stride + 1; for pooling (P = 0) 子采样层 / 操作流程.
    """
    size, padding = check_count("size", size, least=0), check_count("padding", padding, least=0)
    kernel_size, stride = check_count("kernel_size", kernel_size), check_count("stride", stride)
    if kernel_size > size + 2 * padding:
        room = f"padded input, {size} + 2·{padding}" if padding else f"input, {size}"
        raise ValueError(f"kernel_size is {kernel_size}, expected at most the size of the {room}")
    return (size + 2 * padding - kernel_size) // stride + 1


def convolution_parameters(
    in_channels: int,
    out_channels: int,
    kernel_size: Sequence[int],
    bias: bool = True,
    connections: NDArray[np.bool_] | None = None,
) -> int:
    """(F·F·D + 1)·K: one filter over all D input channels for each of the K output channels, and its bias.

    Parameters
    ----------
    in_channels, out_channels:
        D and K.
    kernel_size:
        F along each axis, in pixels.
    bias:
        Whether there is a +1.
    connections:
        Boolean table (K, D) of the channels that are connected; None connects all. Only links that are there count.

    Raises
    ------
    TypeError, ValueError
        For a number that is no int, or below 1, or a table of another shape or dtype.

    Source: 卷积层的参数个数, (5·5·3 + 1)·10 = 760.
    """
    in_channels, out_channels = check_count("in_channels", in_channels), check_count("out_channels", out_channels)
    if not isinstance(kernel_size, Sequence) or not kernel_size:
        raise TypeError(f"kernel_size is {kernel_size!r}, expected a sequence of at least one int")
    extents = [check_count(f"kernel_size[{i}]", extent) for i, extent in enumerate(kernel_size)]
    if connections is not None:
        connections = check_table("connections", connections, (out_channels, in_channels))
    links = in_channels * out_channels if connections is None else int(np.count_nonzero(connections))
    return links * math.prod(extents) + out_channels * bool(bias)
