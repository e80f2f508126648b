"""From maps to a vector: what stands between a convolution and a fully connected layer."""

import math

from torch import Tensor

from torchref.module import Module, Shape
from torchref.validation import check_sample_shape, check_tensor


class Flatten(Module):
    """All axes but the batch's as one: (N, C, H, W) -> (N, C·H·W), W fastest.

    Any number of axes from two on, float32 or float64. Returns copies: no output of a layer is aliased to its input.

    Source: Case Study: LeNet-5, between C5 (120 maps of 1×1) and F6.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, …) -> (N, product of the others). Raises `ValueError` for an input of one axis."""
        check_tensor("x", x)
        if x.ndim < 2:
            raise ValueError(f"x has shape {tuple(x.shape)}, expected a batch axis and at least one more")
        return x.flatten(1).clone()

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H, W) -> (C·H·W,)."""
        if not check_sample_shape(input_shape):
            raise ValueError("input_shape is (), expected at least one axis beside the batch's")
        return (math.prod(input_shape),)
