"""How large the output of a convolution or pooling layer is, and how many parameters a convolution has."""

import math
from collections.abc import Sequence

from torch import Tensor


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
        If the kernel is larger than the padded input.

    Source: 卷积层的输出尺度, (N + 2P − F)/stride + 1; for pooling (P = 0) 子采样层 / 操作流程.
    """
    if kernel_size > size + 2 * padding:
        padded = f"{size} + 2·{padding}" if padding else f"{size}"
        raise ValueError(f"kernel_size is {kernel_size}, expected at most the size of the padded input, {padded}")
    return (size + 2 * padding - kernel_size) // stride + 1


def convolution_parameters(
    in_channels: int,
    out_channels: int,
    kernel_size: Sequence[int],
    bias: bool = True,
    connections: Tensor | None = None,
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

    Source: 卷积层的参数个数, (5·5·3 + 1)·10 = 760.
    """
    links = in_channels * out_channels if connections is None else int(connections.count_nonzero())
    return links * math.prod(kernel_size) + out_channels * bias
