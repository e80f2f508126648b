"""From maps to a vector: what stands between a convolution and a fully connected layer."""

import math
from typing import NamedTuple

from scratch.module import Module, Shape
from scratch.validation import Array, check_array, check_like, check_sample_shape


class FlattenCache(NamedTuple):
    """The input (N, …), for its shape, and the output."""

    x: Array
    y: Array


class Flatten(Module):
    """All axes but the batch's as one: (N, C, H, W) -> (N, C·H·W), in the order of torch, W fastest.

    Any number of axes from two on, float32 or float64. Returns copies: no output of a layer is aliased to its input.

    Source: Case Study: LeNet-5, between C5 (120 maps of 1×1) and F6.
    """

    def forward(self, x: Array) -> tuple[Array, FlattenCache]:
        """(N, …) -> (N, product of the others). Raises `ValueError` for an input of one axis."""
        check_array("x", x)
        if x.ndim < 2:
            raise ValueError(f"x has shape {x.shape}, expected a batch axis and at least one more")
        y = x.reshape(len(x), math.prod(x.shape[1:])).copy()
        return y, FlattenCache(x, y)

    def backward(self, dy: Array, cache: FlattenCache) -> tuple[Array, dict[str, Array]]:
        """Dy (N, features) -> a copy in the shape of x."""
        check_like("dy", dy, cache.y)
        return dy.reshape(cache.x.shape).copy(), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """(C, H, W) -> (C·H·W,)."""
        if not check_sample_shape(input_shape):
            raise ValueError("input_shape is (), expected at least one axis beside the batch's")
        return (math.prod(input_shape),)
