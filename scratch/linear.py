"""The fully connected layer: z = W·a + b, one row of the batch per sample."""

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from scratch import init
from scratch.module import Module, Shape
from scratch.validation import Array, check_array, check_count, check_generator, check_input_shape, check_shape


def linear(x: Array, weight: Array, bias: Array | None) -> Array:
    """Z = x Wᵀ + b for a batch: x (N, in), weight (out, in), bias (out,) -> (N, out).

    Computed as the lecture writes it, Z = W·A + b with a column per sample: in memory the batch comes last.
    """
    z = weight @ x.T
    if bias is not None:
        z += bias[:, None]
    return z.T


def linear_dweight(dy: Array, x: Array) -> tuple[Array, Array]:
    """Gradients of `linear` with respect to weight and bias; `dy` is the lecture's δ, one row per sample.

    dweight = δᵀ x     (out, in)  Σ over samples of δ aᵀ
    dbias   = Σ_n δ_n  (out,)
    """
    # With one sample δ aᵀ is an outer product without a sum, at which BLAS is slow.
    dweight = np.einsum("no,ni->oi", dy, x) if len(x) == 1 else dy.T @ x
    return dweight, dy.sum(axis=0)


def linear_dx(dy: Array, weight: Array) -> Array:
    """Gradient of `linear` with respect to x: δ W, (N, out) -> (N, in); the lecture's Wᵀδ, a column per sample."""
    return (weight.T @ dy.T).T


class LinearCache(NamedTuple):
    """The input (N, in) of the forward pass."""

    x: Array


class Linear(Module):
    """Fully connected layer, z = W·a + b.

    Parameters
    ----------
    in_features, out_features:
        Number of units in the layer below and in this one, each at least 1.
    bias:
        Whether there is a b.
    dtype:
        float32 or float64, of the parameters and so of the input.
    rng:
        Source of the initial weights; None draws fresh entropy. Weights are `init.lecun_uniform`, biases 0.

    Attributes
    ----------
    weight:
        (out_features, in_features)
    bias:
        (out_features,), or None

    Raises
    ------
    TypeError, ValueError
        Where a size is no int or below 1, the dtype is neither float32 nor float64, or rng is no generator.

    Source: 多层感知机的运算, z^(l) = W^(l)·a^(l−1) + b^(l); gradients: BP 基本思想, δ(a^(l−1))ᵀ and δ. The slide beside
    "多元--向量" 的求导 writes b ∈ R^K with W of M×K; z and b have one entry per row of W.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.in_features = check_count("in_features", in_features)
        self.out_features = check_count("out_features", out_features)
        shape = (self.out_features, self.in_features)
        self.weight = init.lecun_uniform(shape, rng=check_generator("rng", rng), dtype=dtype)
        self.bias = init.zeros(shape[:1], dtype=dtype) if bias else None

    def parameters(self) -> dict[str, Array]:
        """`weight` and, if there is one, `bias`."""
        return {"weight": self.weight} if self.bias is None else {"weight": self.weight, "bias": self.bias}

    def forward(self, x: Array) -> tuple[Array, LinearCache]:
        """(N, in_features) -> (N, out_features).

        Raises
        ------
        TypeError, ValueError
            If the dtype of x is not the parameters', or its shape not (N, in_features).
        """
        check_array("x", x, self.weight.dtype)
        check_shape("x", x, ("N", self.in_features))
        return linear(x, self.weight, self.bias), LinearCache(x)

    def backward(self, dy: Array, cache: LinearCache) -> tuple[Array, dict[str, Array]]:
        """Dy (N, out_features) -> dx (N, in_features) and the gradients of `weight` and `bias`."""
        grads = self.gradients(dy, cache)
        return linear_dx(dy, self.weight), grads

    def gradients(self, dy: Array, cache: LinearCache) -> dict[str, Array]:
        """Dy (N, out_features) -> the gradients of `weight` and `bias` alone."""
        check_array("dy", dy, self.weight.dtype)
        check_shape("dy", dy, (len(cache.x), self.out_features))
        dweight, dbias = linear_dweight(dy, cache.x)
        return {"weight": dweight} if self.bias is None else {"weight": dweight, "bias": dbias}

    def output_shape(self, input_shape: Shape) -> Shape:
        """(in_features,) -> (out_features,)."""
        check_input_shape(input_shape, (self.in_features,))
        return (self.out_features,)

    def num_connections(self, input_shape: Shape) -> int:
        """As many as parameters: every weight and bias is used once."""
        self.output_shape(input_shape)
        return self.num_parameters

    def num_multiply_adds(self, input_shape: Shape) -> int:
        """One per weight."""
        self.output_shape(input_shape)
        return self.weight.size
