"""Sub-sampling: each map shrunk by one number per window, and LeNet-5's kind with a coefficient and bias to learn."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchref import init
from torchref.module import Module, Shape
from torchref.sizes import output_size
from torchref.validation import (
    Pair,
    check_count,
    check_dtype,
    check_input_shape,
    check_pair,
    check_shape,
    check_tensor,
)


class _Pooling(Module):
    """What the three share: windows of `kernel_size`, `stride` apart, in each map for itself."""

    channels: int | str = "C"
    """How many maps there are; a letter where any number will do."""

    def __init__(self, kernel_size: int | Pair, stride: int | Pair | None) -> None:
        super().__init__()
        self.kernel_size = check_pair("kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else check_pair("stride", stride)

    def extra_repr(self) -> str:
        """Where the windows lie."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}"

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H, W) -> (C, H′, W′)."""
        check_input_shape(input_shape, (self.channels, "H", "W"))
        sizes = zip(input_shape[1:], self.kernel_size, self.stride, strict=True)
        return (input_shape[0], *(output_size(*axis) for axis in sizes))

    def num_connections(self, input_shape: Shape) -> int:
        """Every pixel of the window, and the bias if there is one, once for each output."""
        inputs = math.prod(self.kernel_size) + ("bias" in dict(self.named_parameters()))
        return math.prod(self.output_shape(input_shape)) * inputs

    def check_input(self, x: Tensor, dtype: torch.dtype | None = None) -> None:
        """Refuse what is no batch of maps with room for a window."""
        check_tensor("x", x, dtype)
        check_shape("x", x, ("N", self.channels, "H", "W"))
        self.output_shape(tuple(x.shape[1:]))


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

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H′, W′), H′ = ⌊(H − kh)/sh⌋ + 1 and W′ likewise; refused if a kernel does not fit."""
        self.check_input(x)
        return F.avg_pool2d(x, self.kernel_size, self.stride)

    def num_multiply_adds(self, input_shape: Shape) -> int:
        """One per output: the sum times 1/(kh·kw)."""
        return math.prod(self.output_shape(input_shape))


class MaxPool2d(_Pooling):
    """Maximum of each window: y[n, c, p, q] = max_ij x[n, c, p·sh + i, q·sw + j].

    The gradient goes to the entry that won; of equal ones, to the first in the window.

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

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H′, W′), H′ = ⌊(H − kh)/sh⌋ + 1 and W′ likewise; refused if a kernel does not fit."""
        self.check_input(x)
        return F.max_pool2d(x, self.kernel_size, self.stride)


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
        torch.float32 or torch.float64, of the parameters and so of the input.
    device:
        Where the parameters live; None is the CPU.

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
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(kernel_size, stride)
        self.channels = check_count("channels", channels)
        share = 1 / math.prod(self.kernel_size)
        dtype = check_dtype("dtype", dtype)
        self.weight = nn.Parameter(torch.full((self.channels,), share, dtype=dtype, device=device))
        self.bias = nn.Parameter(init.zeros((self.channels,), dtype=dtype, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, channels, H′, W′), H′ = ⌊(H − kh)/sh⌋ + 1 and W′ likewise.

        Raises
        ------
        TypeError, ValueError
            If the dtype of x is not the parameters', its shape not (N, channels, H, W), or the kernel larger than it.
        """
        self.check_input(x, self.weight.dtype)
        sums = F.avg_pool2d(x, self.kernel_size, self.stride, divisor_override=1)
        return sums * self.weight[:, None, None] + self.bias[:, None, None]

    def num_multiply_adds(self, input_shape: Shape) -> int:
        """One per output: coefficient times sum, plus bias."""
        return math.prod(self.output_shape(input_shape))
