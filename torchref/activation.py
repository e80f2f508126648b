"""Activation functions a = f(z); their derivatives are autograd's."""

from typing import Self

import torch
from torch import Tensor

from torchref.module import Module, Shape
from torchref.validation import check_input_shape, check_number, check_shape, check_tensor


class Threshold(Module):
    """Hard limit (硬门限阈值函数): f(v) = 1 for v ≥ 0, else 0; its derivative is 0.

    So no error signal passes a hard-limit unit and back-propagation cannot train what lies below it.

    Any shape, float32 or float64. NaN stays NaN.

    Source: 多层感知机的运算 ("激活函数（包括硬门限阈值函数）").
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape, of zeros and ones."""
        check_tensor("x", x)
        # ⌊x⌋ + 1 is at least 1 for x ≥ 0 and at most 0 below. Unlike torch.heaviside, floor keeps NaN and has a
        # gradient (of zeros) in autograd.
        return (x.floor() + 1).clamp(0, 1)


class Logistic(Module):
    """Logistic function, f(v) = 1 / (1 + exp(−a·v)).

    Parameters
    ----------
    a:
        Slope, greater than 0.

    Any shape, float32 or float64. Raises `TypeError` or `ValueError` for an `a` that is no positive finite number.

    Source: 激活函数, Logistic Function.
    """

    def __init__(self, a: float = 1.0) -> None:
        super().__init__()
        self.a = check_number("a", a, above=0)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape, in [0, 1]."""
        check_tensor("x", x)
        return torch.sigmoid(self.a * x)


class Tanh(Module):
    """Hyperbolic tangent, f(v) = a·tanh(b·v).

    Parameters
    ----------
    a:
        Amplitude, greater than 0.
    b:
        Slope of the argument, greater than 0.

    Any shape, float32 or float64. Raises `TypeError` or `ValueError` for an `a` or `b` that is no positive finite
    number.

    Source: 激活函数, Hyperbolic tangent function.
    """

    def __init__(self, a: float = 1.0, b: float = 1.0) -> None:
        super().__init__()
        self.a = check_number("a", a, above=0)
        self.b = check_number("b", b, above=0)

    @classmethod
    def lecun(cls) -> Self:
        """1.7159·tanh(2v/3): f(±1) ≈ ±1 (LeCun et al. 1998, appendix A)."""
        return cls(1.7159, 2 / 3)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape, in [−a, a]."""
        check_tensor("x", x)
        return self.a * torch.tanh(self.b * x)


class ReLU(Module):
    """Rectifier, f(v) = max(0, v); at the kink the derivative is 0.

    Any shape, float32 or float64. Not on the slides; it is what later networks use in place of the sigmoids.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape, at least 0."""
        check_tensor("x", x)
        return torch.relu(x)


class Identity(Module):
    """f(v) = v: the linear unit.

    Any shape, float32 or float64. Returns copies: no output of a layer is aliased to its input.

    Source: 多层感知机的运算 with f_l(z) = z.
    """

    def forward(self, x: Tensor) -> Tensor:
        """A copy of x."""
        check_tensor("x", x)
        return x.clone()


class Softmax(Module):
    """Softmax over the units of one layer, y_k = exp(v_k) / Σ_j exp(v_j).

    Shape (N, K), float32 or float64. Not on the slides.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, K) -> (N, K); rows sum to 1. Raises `ValueError` for another rank."""
        check_tensor("x", x)
        check_shape("x", x, ("N", "K"))
        return torch.softmax(x, dim=1)

    def output_shape(self, input_shape: Shape) -> Shape:
        """(K,) -> (K,): the units of one layer, no maps."""
        check_input_shape(input_shape, ("K",))
        return input_shape
