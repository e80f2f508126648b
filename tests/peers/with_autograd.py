"""HIPS autograd: forward in its NumPy, backward by its vector-Jacobian products."""

from typing import Any

import autograd.numpy as np
from autograd import make_vjp
from autograd.scipy.signal import convolve
from autograd.scipy.special import expit, logsumexp


def pair(function: Any, given: int) -> tuple[Any, Any]:
    """A function of `given` arrays (and settings) with its gradient; an array that is None has none."""

    def forward(*args: Any, **settings: Any) -> Any:
        present = tuple(i for i in range(given) if args[i] is not None)
        vjp, out = make_vjp(lambda *arrays: function(*arrays, *args[given:], **settings), present)(*args[:given])
        return out, vjp

    def backward(dout: Any, cache: Any) -> Any:
        found = cache(dout)
        return tuple(found) if len(found) > 1 else found[0]

    return forward, backward


def affine(x: Any, w: Any, b: Any) -> Any:
    """x Wᵀ + b."""
    return np.dot(x, w.T) + (0 if b is None else b)


def conv(x: Any, w: Any, b: Any, stride: Any, pad: Any) -> Any:
    """Its convolution flips the filter and moves by one: flipped here once more, and thinned out."""
    (sh, sw), (ph, pw) = ((n, n) if isinstance(n, int) else n for n in (stride, pad))
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), mode="constant")
    y = convolve(x, w[:, :, ::-1, ::-1], axes=([2, 3], [2, 3]), dot_axes=([1], [1]), mode="valid")[:, :, ::sh, ::sw]
    return y if b is None else y + b[:, None, None]


def taps(x: Any, kernel_size: Any, stride: Any) -> Any:
    """The entries of each window along a new axis."""
    (kh, kw), (sh, sw) = ((n, n) if isinstance(n, int) else n for n in (kernel_size, stride))
    rows, cols = (x.shape[2] - kh) // sh + 1, (x.shape[3] - kw) // sw + 1
    entries = [x[:, :, i : i + sh * rows : sh, j : j + sw * cols : sw] for i in range(kh) for j in range(kw)]
    return np.stack(entries, axis=-1)


def softmax(x: Any) -> Any:
    """Of each row."""
    return np.exp(x - logsumexp(x, axis=1, keepdims=True))


def cross_entropy(output: Any, target: Any, reduction: str) -> Any:
    """−ln softmax at the labels."""
    losses = logsumexp(output, axis=1) - output[np.arange(len(target)), target]
    return np.mean(losses) if reduction == "mean" else np.sum(losses)


def squared_error(output: Any, target: Any, reduction: str) -> Any:
    """½‖y − t‖²."""
    losses = 0.5 * np.sum((output - target) ** 2, axis=1)
    return np.mean(losses) if reduction == "mean" else np.sum(losses)


def loss(function: Any) -> tuple[Any, Any]:
    """A loss of the output alone, whose own gradient is 1."""
    forward, backward = pair(function, 1)
    return lambda output, target, reduction="mean": forward(output, target, reduction), lambda cache: backward(
        1.0, cache
    )


def _pairs() -> dict[str, tuple[Any, Any]]:
    linear, linear_backward = pair(affine, 3)
    convolution, conv_backward = pair(conv, 3)
    average, average_backward = pair(lambda x, size, stride: np.mean(taps(x, size, stride), axis=-1), 1)
    maximum, maximum_backward = pair(lambda x, size, stride: np.max(taps(x, size, stride), axis=-1), 1)
    tanh, tanh_backward = pair(lambda x, a, b: a * np.tanh(b * x), 1)
    logistic, logistic_backward = pair(lambda x, a: expit(a * x), 1)
    return {
        "linear": (lambda x, w, b=None: linear(x, w, b), linear_backward),
        "conv2d": (lambda x, w, b=None, stride=1, pad=0: convolution(x, w, b, stride, pad), conv_backward),
        "avgpool2d": (lambda x, kernel_size, stride: average(x, kernel_size, stride), average_backward),
        "maxpool2d": (lambda x, kernel_size, stride: maximum(x, kernel_size, stride), maximum_backward),
        "tanh": (lambda x, a=1.0, b=1.0: tanh(x, a, b), tanh_backward),
        "logistic": (lambda x, a=1.0: logistic(x, a), logistic_backward),
        "relu": pair(lambda x: np.maximum(x, 0), 1),
        "softmax": pair(softmax, 1),
        "cross_entropy": loss(cross_entropy),
        "squared_error": loss(squared_error),
    }


PAIRS = _pairs()
WITHOUT = {
    "maxpool2d": {
        "ties": "np.max shares the gradient out among equal entries",
        "nonfinite": "np.max finds the winner by ==, which NaN is not",
    },
    "relu": {
        "special": "np.maximum gives half of the gradient to each of two equal arguments: at 0 the slope is ½",
        "nonfinite": "the same, and 0·∞ where the unit is off",
    },
    "cross_entropy": {"nonfinite": "logsumexp's gradient exp(x − max) is 0 beside ∞, where torch's ∞ − ∞ is NaN"},
}
