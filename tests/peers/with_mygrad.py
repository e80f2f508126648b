"""MyGrad: forward on its tensors; its backward uses a graph up, so the pass is run again for each."""

from typing import Any

import mygrad as mg
from mygrad.nnet.activations import relu, sigmoid, softmax
from mygrad.nnet.layers import conv_nd, max_pool
from mygrad.nnet.losses import softmax_crossentropy

mg.turn_memory_guarding_off()  # it would make the arrays read-only that a graph still needs


def pair(function: Any, given: int) -> tuple[Any, Any]:
    """A function of `given` arrays (and settings) with its gradient; an array that is None has none."""

    def run(*args: Any) -> tuple[Any, list[Any]]:
        tensors = [None if a is None else mg.tensor(a) for a in args[:given]]
        return function(*tensors, *args[given:]), tensors

    def forward(*args: Any) -> Any:
        return run(*args)[0].data, args

    def backward(dout: Any, cache: Any) -> Any:
        out, tensors = run(*cache)
        out.backward(dout)
        found = [t.grad for t in tensors if t is not None]
        return tuple(found) if len(found) > 1 else found[0]

    return forward, backward


def like(x: Any, number: float) -> Any:
    """A number of the precision of x: Python's would turn float32 into float64."""
    return x.dtype.type(number)


def affine(x: Any, w: Any, b: Any) -> Any:
    """x Wᵀ + b."""
    y = mg.matmul(x, w.T)
    return y if b is None else y + b


def conv(x: Any, w: Any, b: Any, stride: Any, pad: Any) -> Any:
    """Its convolution, which does not flip."""
    y = conv_nd(x, w, stride=stride, padding=pad)
    return y if b is None else y + b.reshape(-1, 1, 1)


def cross_entropy(output: Any, target: Any) -> Any:
    """Its softmax and negative log-likelihood, the mean."""
    return softmax_crossentropy(output, target)


def squared_error(output: Any, target: Any, reduction: str) -> Any:
    """½‖y − t‖²."""
    losses = like(output, 0.5) * ((output - target) ** 2).sum(axis=1)
    return losses.mean() if reduction == "mean" else losses.sum()


def _pairs() -> dict[str, tuple[Any, Any]]:
    linear, linear_backward = pair(affine, 3)
    convolution, conv_backward = pair(conv, 3)
    maximum, maximum_backward = pair(lambda x, size, stride: max_pool(x, size, stride), 1)
    tanh, tanh_backward = pair(lambda x, a, b: like(x, a) * mg.tanh(like(x, b) * x), 1)
    logistic, logistic_backward = pair(lambda x, a: sigmoid(like(x, a) * x), 1)
    entropy, entropy_backward = pair(cross_entropy, 1)
    squares, squares_backward = pair(squared_error, 1)
    return {
        "linear": (lambda x, w, b=None: linear(x, w, b), linear_backward),
        "conv2d": (lambda x, w, b=None, stride=1, pad=0: convolution(x, w, b, stride, pad), conv_backward),
        "maxpool2d": (
            lambda x, kernel_size, stride: maximum(
                x, (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size, stride
            ),
            maximum_backward,
        ),
        "tanh": (lambda x, a=1.0, b=1.0: tanh(x, a, b), tanh_backward),
        "logistic": (lambda x, a=1.0: logistic(x, a), logistic_backward),
        "relu": pair(relu, 1),
        "softmax": pair(lambda x: softmax(x, axis=1), 1),
        "cross_entropy": (lambda output, target: entropy(output, target), lambda cache: entropy_backward(1.0, cache)),
        "squared_error": (
            lambda output, target, reduction="mean": squares(output, target, reduction),
            lambda cache: squares_backward(1.0, cache),
        ),
    }


PAIRS = _pairs()
WITHOUT = {
    "conv2d": {"rest": "refuses strides that do not divide"},
    "maxpool2d": {
        "rest": "refuses strides that do not divide",
        "empty": "its backward part cannot reshape a batch of none",
        "ties": "of zeros of both signs the last is handed on",
    },
    "relu": {"nonfinite": "x·(x > 0) is NaN at −∞"},
    "cross_entropy": {"nonfinite": "its softmax is 0 beside ∞, where torch's ∞ − ∞ is NaN"},
}
