"""JAX, in double precision where the arrays are: forward in jax.numpy, backward by jax.vjp."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

jax.config.update("jax_enable_x64", True)


def pair(function: Any, given: int) -> tuple[Any, Any]:
    """A function of `given` arrays (and settings) with its gradient; an array that is None has none."""

    def forward(*args: Any) -> Any:
        arrays = [jnp.asarray(a) for a in args[:given] if a is not None]
        missing = [None] * (given - len(arrays))
        return jax.vjp(lambda *arrays: function(*arrays, *missing, *args[given:]), *arrays)

    def backward(dout: Any, cache: Any) -> Any:
        found = cache(jnp.asarray(dout))
        return tuple(found) if len(found) > 1 else found[0]

    return forward, backward


def two(value: Any) -> tuple[int, int]:
    """Height and width."""
    return (value, value) if isinstance(value, int) else value


def affine(x: Any, w: Any, b: Any) -> Any:
    """x Wᵀ + b."""
    y = x @ w.T
    return y if b is None else y + b


def conv(x: Any, w: Any, b: Any, stride: Any, pad: Any) -> Any:
    """XLA's convolution, which does not flip."""
    y = lax.conv_general_dilated(x, w, two(stride), [(p, p) for p in two(pad)])
    return y if b is None else y + b[:, None, None]


def windows(x: Any, start: float, operation: Any, kernel_size: Any, stride: Any) -> Any:
    """XLA's reduction of each window."""
    return lax.reduce_window(x, start, operation, (1, 1, *two(kernel_size)), (1, 1, *two(stride)), "VALID")


def average(x: Any, kernel_size: Any, stride: Any) -> Any:
    """The mean of each window."""
    kh, kw = two(kernel_size)
    return windows(x, 0.0, lax.add, kernel_size, stride) / (kh * kw)


def cross_entropy(output: Any, target: Any, reduction: str) -> Any:
    """−ln softmax at the labels."""
    losses = -jax.nn.log_softmax(output)[jnp.arange(len(target)), target]
    return losses.mean() if reduction == "mean" else losses.sum()


def squared_error(output: Any, target: Any, reduction: str) -> Any:
    """½‖y − t‖²."""
    losses = 0.5 * ((output - target) ** 2).sum(axis=1)
    return losses.mean() if reduction == "mean" else losses.sum()


def loss(function: Any) -> tuple[Any, Any]:
    """A loss of the output alone, with its gradient for a cache."""
    both = jax.value_and_grad(function)
    return lambda output, target, reduction="mean": both(jnp.asarray(output), target, reduction), lambda cache: cache


def _pairs() -> dict[str, tuple[Any, Any]]:
    linear, linear_backward = pair(affine, 3)
    convolution, conv_backward = pair(conv, 3)
    averages, average_backward = pair(average, 1)
    maximum, maximum_backward = pair(lambda x, size, stride: windows(x, -jnp.inf, lax.max, size, stride), 1)
    tanh, tanh_backward = pair(lambda x, a, b: a * jnp.tanh(b * x), 1)
    logistic, logistic_backward = pair(lambda x, a: jax.nn.sigmoid(a * x), 1)
    return {
        "linear": (lambda x, w, b=None: linear(x, w, b), linear_backward),
        "conv2d": (lambda x, w, b=None, stride=1, pad=0: convolution(x, w, b, stride, pad), conv_backward),
        "avgpool2d": (lambda x, kernel_size, stride: averages(x, kernel_size, stride), average_backward),
        "maxpool2d": (lambda x, kernel_size, stride: maximum(x, kernel_size, stride), maximum_backward),
        "tanh": (lambda x, a=1.0, b=1.0: tanh(x, a, b), tanh_backward),
        "logistic": (lambda x, a=1.0: logistic(x, a), logistic_backward),
        "relu": pair(jax.nn.relu, 1),
        "softmax": pair(jax.nn.softmax, 1),
        "cross_entropy": loss(cross_entropy),
        "squared_error": loss(squared_error),
    }


PAIRS = _pairs()
WITHOUT = {
    "maxpool2d": {
        "special": "of zeros of both signs XLA's maximum is +0, torch's the first; subnormal numbers are 0 to it",
        "nonfinite": "of a window with NaN in it another entry is the winner in XLA's select-and-scatter",
    },
    "relu": {
        "special": "XLA takes subnormal numbers for 0",
        "nonfinite": "the gradient passes where x > 0 only, torch's where x is NaN too",
    },
    "tanh": {"nonfinite": "the gradient is written (dy + dy·y)(1 − y), which is ∞ − ∞ for dy = ±∞ and y < 0"},
}


class Perceptron:
    """`loss(x, y)` and `params`, as courses have them: forward in jax.numpy, all else jax.value_and_grad."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params

    def loss(self, x: Any, y: Any = None) -> Any:
        """The loss and the gradients by parameter; without labels the logits."""

        if y is None:
            return logits(self.params, x)
        return gradients(self.params, x, y)


@jax.jit
def logits(params: dict[str, Any], x: Any) -> Any:
    """One hidden layer."""
    return affine(jnp.tanh(affine(x, params["W1"], params["b1"])), params["W2"], params["b2"])


gradients = jax.jit(jax.value_and_grad(lambda params, x, y: cross_entropy(logits(params, x), y, "mean")))
