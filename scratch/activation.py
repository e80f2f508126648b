"""Activation functions a = f(z), each with its derivative computed from its output, as the lecture gives them."""

import contextlib
from typing import NamedTuple, Self

import numpy as np

from scratch.module import Module, Shape
from scratch.validation import Array, check_array, check_input_shape, check_like, check_number, check_shape


def threshold(x: Array) -> Array:
    """1 where x ≥ 0, else 0; NaN stays NaN."""
    y: Array = np.heaviside(x, 1)
    return y


def logistic(x: Array, a: float) -> Array:
    """1 / (1 + exp(−a·x))."""
    with np.errstate(over="ignore"):  # exp overflows to infinity below about x = −88/a; 1/∞ = 0 is the right answer
        y: Array = 1 / (1 + np.exp(-a * x))
    return y


def logistic_backward(dy: Array, y: Array, a: float) -> Array:
    """dy · a·y(1 − y)."""
    return dy * (a * y * (1 - y))


def tanh(x: Array, a: float, b: float) -> Array:
    """a·tanh(b·x)."""
    # b·x may overflow to infinity, where tanh is 1 all the same; for b ≤ 1 it cannot, and need not be told so.
    with np.errstate(over="ignore") if b > 1 else contextlib.nullcontext():
        y: Array = b * x
    np.tanh(y, out=y)
    y *= a
    return y


def tanh_backward(dy: Array, y: Array, a: float, b: float) -> Array:
    """dy · (b/a)(a − y)(a + y), multiplied out to (b/a)(a² − y²)."""
    limit = y.dtype.type(a)  # as y has it: the slope is 0 where the unit is saturated, and never below
    dx: Array = y * y  # in place from here on: what fits in the cache once need not be fetched again
    np.subtract(limit * limit, dx, out=dx)
    dx *= b / a
    dx *= dy
    return dx


def relu(x: Array) -> Array:
    """max(0, x); NaN stays NaN."""
    y: Array = np.maximum(x, 0)
    return y


def relu_backward(dy: Array, y: Array) -> Array:
    """dy where y > 0, else 0: at the kink 0, as in torch. Written so that dy passes where y is NaN, as in torch too."""
    return np.where(y <= 0, 0, dy)


def softmax(x: Array) -> Array:
    """exp(x_k) / Σ_j exp(x_j) along axis 1, shifted by the row's maximum so that nothing overflows."""
    exp: Array = np.exp(x - x.max(axis=1, keepdims=True, initial=-np.inf))
    y: Array = exp / exp.sum(axis=1, keepdims=True)
    return y


def softmax_backward(dy: Array, y: Array) -> Array:
    """Jᵀ dy with the full Jacobian ∂y_j/∂x_k = y_j(δ_jk − y_k), that is y ⊙ (dy − Σ_j dy_j y_j)."""
    dx: Array = y * (dy - (dy * y).sum(axis=1, keepdims=True))
    return dx


class OutputCache(NamedTuple):
    """The output y: all that a derivative written in terms of the output needs."""

    y: Array


class Threshold(Module):
    """Hard limit (硬门限阈值函数): f(v) = 1 for v ≥ 0, else 0.

    Its derivative is 0 wherever it exists, and `backward` returns exactly that. So no error signal passes a hard-limit
    unit: every δ below it is f′·(…) = 0, the loss never moves the weights there, and back-propagation cannot train
    them. That is why the other activations here have slopes.

    Any shape, float32 or float64. NaN stays NaN.

    Source: 多层感知机的运算 ("激活函数（包括硬门限阈值函数）"); 异或问题 draws its decision regions.
    """

    def forward(self, x: Array) -> tuple[Array, OutputCache]:
        """Any shape -> the same shape, of zeros and ones."""
        check_array("x", x)
        y = threshold(x)
        return y, OutputCache(y)

    def backward(self, dy: Array, cache: OutputCache) -> tuple[Array, dict[str, Array]]:
        """Zeros of the shape of dy."""
        check_like("dy", dy, cache.y)
        return np.zeros_like(dy), {}


class Logistic(Module):
    """Logistic function, f(v) = 1 / (1 + exp(−a·v)), with f′ = a·y(1 − y).

    Parameters
    ----------
    a:
        Slope, greater than 0.

    Any shape, float32 or float64. Raises `TypeError` or `ValueError` for an `a` that is no positive finite number.

    Source: 激活函数, Logistic Function.
    """

    def __init__(self, a: float = 1.0) -> None:
        self.a = check_number("a", a, above=0)

    def forward(self, x: Array) -> tuple[Array, OutputCache]:
        """Any shape -> the same shape, in [0, 1]."""
        check_array("x", x)
        y = logistic(x, self.a)
        return y, OutputCache(y)

    def backward(self, dy: Array, cache: OutputCache) -> tuple[Array, dict[str, Array]]:
        """dy · a·y(1 − y)."""
        check_like("dy", dy, cache.y)
        return logistic_backward(dy, cache.y, self.a), {}


class Tanh(Module):
    """Hyperbolic tangent, f(v) = a·tanh(b·v), with f′ = (b/a)(a − y)(a + y).

    Parameters
    ----------
    a:
        Amplitude, greater than 0; its square has to be a finite number of the dtype.
    b:
        Slope of the argument, greater than 0.

    Any shape, float32 or float64. Raises `TypeError` or `ValueError` for an `a` or `b` that is no positive finite
    number.

    Source: 激活函数, Hyperbolic tangent function.
    """

    def __init__(self, a: float = 1.0, b: float = 1.0) -> None:
        self.a = check_number("a", a, above=0)
        self.b = check_number("b", b, above=0)

    @classmethod
    def lecun(cls) -> Self:
        """1.7159·tanh(2v/3): f(±1) ≈ ±1 (LeCun et al. 1998, appendix A)."""
        return cls(1.7159, 2 / 3)

    def forward(self, x: Array) -> tuple[Array, OutputCache]:
        """Any shape -> the same shape, in [−a, a]."""
        check_array("x", x)
        y = tanh(x, self.a, self.b)
        return y, OutputCache(y)

    def backward(self, dy: Array, cache: OutputCache) -> tuple[Array, dict[str, Array]]:
        """dy · (b/a)(a − y)(a + y)."""
        check_like("dy", dy, cache.y)
        return tanh_backward(dy, cache.y, self.a, self.b), {}


class ReLU(Module):
    """Rectifier, f(v) = max(0, v), with f′ = 1 for v > 0, else 0 (at the kink 0, torch's convention).

    Any shape, float32 or float64. Not on the slides; it is what later networks use in place of the sigmoids.
    """

    def forward(self, x: Array) -> tuple[Array, OutputCache]:
        """Any shape -> the same shape, at least 0."""
        check_array("x", x)
        y = relu(x)
        return y, OutputCache(y)

    def backward(self, dy: Array, cache: OutputCache) -> tuple[Array, dict[str, Array]]:
        """dy where the output is positive, else 0."""
        check_like("dy", dy, cache.y)
        return relu_backward(dy, cache.y), {}


class Identity(Module):
    """f(v) = v, f′ = 1: the linear unit.

    Any shape, float32 or float64. Returns copies: no output of a layer is aliased to its input.

    Source: 多层感知机的运算 with f_l(z) = z.
    """

    def forward(self, x: Array) -> tuple[Array, OutputCache]:
        """A copy of x."""
        check_array("x", x)
        y = x.copy()
        return y, OutputCache(y)

    def backward(self, dy: Array, cache: OutputCache) -> tuple[Array, dict[str, Array]]:
        """A copy of dy."""
        check_like("dy", dy, cache.y)
        return dy.copy(), {}


class Softmax(Module):
    """Softmax over the units of one layer, y_k = exp(v_k) / Σ_j exp(v_j).

    The one activation here whose Jacobian is not diagonal: ∂y_j/∂v_k = y_j(δ_jk − y_k). For classification use
    `CrossEntropy` on the logits instead, which never forms this product.

    Shape (N, K), float32 or float64. Not on the slides.
    """

    def forward(self, x: Array) -> tuple[Array, OutputCache]:
        """(N, K) -> (N, K); rows sum to 1. Raises `ValueError` for another rank."""
        check_array("x", x)
        check_shape("x", x, ("N", "K"))
        y = softmax(x)
        return y, OutputCache(y)

    def backward(self, dy: Array, cache: OutputCache) -> tuple[Array, dict[str, Array]]:
        """y ⊙ (dy − Σ_j dy_j y_j)."""
        check_like("dy", dy, cache.y)
        return softmax_backward(dy, cache.y), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """(K,) -> (K,): the units of one layer, no maps."""
        check_input_shape(input_shape, ("K",))
        return input_shape
