"""S: how large the rounding errors of a correct program may be, in units of eps, tensor by tensor.

Whole networks amplify and cancel: no fixed multiple of a result's size bounds the error of a correct program. So the
network's own forward and backward pass is run once more on absolute values, carrying for every tensor a magnitude S to
which its error is proportional to first order:

    input           S_x  = |x|
    z = Wa + b      S_z  = |W| S_a + |b|
    a = f(z)        S_a  = |f′| S_z + |a|
    δ = f′ ⊙ da     S_δ  = |f′| S_da + |da| S_f′,   S_f′ = |∂f′/∂a| S_a + |f′|
    da = Wᵀδ        S_da = |W|ᵀ S_δ
    dW = δ aᵀ       S_dW = S_δ S_aᵀ,                db = δ: S_db = S_δ, summed over the batch

Each line is the error a term inherits plus the rounding it adds. A convolution, a sum- or average-pooling and dropout
with a mask are z = Wa + b too, with a W that has most entries 0 or shared: their rule is the layer itself, run on |W|,
|b|, S_a and S_δ. Max-pooling hands on the S of the pixel that won. Everything here is float64, whatever the network's
dtype: the magnitudes of a float32 network may overflow where its values do not. One rule per kind of layer or loss; a
network of other layers needs a rule of its own here first.
"""

from collections.abc import Callable
from functools import singledispatch
from typing import NamedTuple

import torch
from torch import Tensor, nn

from torchref.activation import Identity, Logistic, ReLU, Softmax, Tanh, Threshold
from torchref.loss import CrossEntropy, SquaredError
from torchref.oracle.linear import LINEAR, SELECTION, absolute_output, absolute_pass
from torchref.pooling import MaxPool2d


class Values(NamedTuple):
    """What a layer saw in the oracle's run: its input, output, and the gradient that arrived at the output."""

    x: Tensor
    y: Tensor
    dy: Tensor


class Backward(NamedTuple):
    """Magnitudes of the gradients a layer returns: of its input, and of its parameters by name."""

    dx: Tensor
    grads: dict[str, Tensor]


@singledispatch
def forward(layer: nn.Module, x: Tensor, y: Tensor, sx: Tensor) -> Tensor:
    """S_y of a layer from its input, output and S_x."""
    raise NotImplementedError(f"no rule for the rounding errors of {type(layer).__name__}")


@singledispatch
def backward(layer: nn.Module, values: Values, sx: Tensor, sy: Tensor, sdy: Tensor) -> Backward:
    """S of the gradients that a layer returns, from what it saw, S_x, S_y and S_dy."""
    raise NotImplementedError(f"no rule for the rounding errors of {type(layer).__name__}")


def _plain_forward(layer: nn.Module, x: Tensor, y: Tensor, sx: Tensor) -> Tensor:  # noqa: ARG001
    return absolute_output(layer, sx).abs()  # for the border of a canvas; the rest is not negative


def _plain_backward(layer: nn.Module, values: Values, sx: Tensor, sy: Tensor, sdy: Tensor) -> Backward:  # noqa: ARG001
    sizes = absolute_pass(layer, sx, sdy)
    return Backward(sizes["dx"], {name: sizes[f"grad {name}"] for name, _ in layer.named_parameters()})


for _kind in LINEAR + SELECTION:
    forward.register(_kind, _plain_forward)
    backward.register(_kind, _plain_backward)


def winners(layer: MaxPool2d, x: Tensor) -> Tensor:
    """Which pixel won each window, in a map with its rows in one line: (N, C, H, W) -> (N, C, H′, W′)."""
    _, indices = nn.functional.max_pool2d(x, layer.kernel_size, layer.stride, return_indices=True)
    return indices


def route(dy: Tensor, winner: Tensor, x: Tensor) -> Tensor:
    """Each pixel of x gets the sum of `dy` over the windows it won."""
    empty = torch.zeros_like(x, dtype=dy.dtype).flatten(2)
    return empty.scatter_add(2, winner.flatten(2), dy.flatten(2)).reshape(x.shape)


@forward.register(MaxPool2d)
def _(layer: MaxPool2d, x: Tensor, y: Tensor, sx: Tensor) -> Tensor:
    return sx.flatten(2).gather(2, winners(layer, x).flatten(2)).reshape(y.shape)


@backward.register(MaxPool2d)
def _(layer: MaxPool2d, values: Values, sx: Tensor, sy: Tensor, sdy: Tensor) -> Backward:  # noqa: ARG001
    return Backward(route(sdy, winners(layer, values.x), values.x), {})


Slope = Callable[[nn.Module, Tensor], Tensor]


def _logistic_slope(layer: nn.Module, y: Tensor) -> Tensor:
    assert isinstance(layer, Logistic)
    return layer.a * y * (1 - y)


def _logistic_bend(layer: nn.Module, y: Tensor) -> Tensor:
    assert isinstance(layer, Logistic)
    return layer.a * (1 - 2 * y).abs()


def _tanh_slope(layer: nn.Module, y: Tensor) -> Tensor:
    assert isinstance(layer, Tanh)
    return layer.b / layer.a * (layer.a - y) * (layer.a + y)


def _tanh_bend(layer: nn.Module, y: Tensor) -> Tensor:
    assert isinstance(layer, Tanh)
    return 2 * layer.b / layer.a * y.abs()


SLOPES: dict[type[nn.Module], tuple[Slope, Slope]] = {
    Logistic: (_logistic_slope, _logistic_bend),
    Tanh: (_tanh_slope, _tanh_bend),
    ReLU: (lambda _, y: (y > 0).to(y.dtype), lambda _, y: torch.zeros_like(y)),
    Threshold: (lambda _, y: torch.zeros_like(y), lambda _, y: torch.zeros_like(y)),
    Identity: (lambda _, y: torch.ones_like(y), lambda _, y: torch.zeros_like(y)),
}
"""f′ and |∂f′/∂a| of each elementwise activation, as functions of the output a."""


def _elementwise_forward(layer: nn.Module, x: Tensor, y: Tensor, sx: Tensor) -> Tensor:  # noqa: ARG001
    slope, _ = SLOPES[type(layer)]
    return slope(layer, y).abs() * sx + y.abs()


def _elementwise_backward(layer: nn.Module, values: Values, sx: Tensor, sy: Tensor, sdy: Tensor) -> Backward:  # noqa: ARG001
    slope, bend = SLOPES[type(layer)]
    size = slope(layer, values.y).abs()
    return Backward(size * sdy + values.dy.abs() * (bend(layer, values.y) * sy + size), {})


for _kind in SLOPES:
    forward.register(_kind, _elementwise_forward)
    backward.register(_kind, _elementwise_backward)


@forward.register(Softmax)
def _(layer: Softmax, x: Tensor, y: Tensor, sx: Tensor) -> Tensor:  # noqa: ARG001
    return softmax_magnitude(x, y, sx)


@backward.register(Softmax)
def _(layer: Softmax, values: Values, sx: Tensor, sy: Tensor, sdy: Tensor) -> Backward:  # noqa: ARG001
    y, dy = values.y, values.dy.abs()
    # dx = y ⊙ (dy − Σ dy y): errors of y and of dy in each of the three factors.
    inner = sdy + (sdy * y + dy * sy).sum(1, keepdim=True)
    return Backward(y * inner + sy * (dy + (dy * y).sum(1, keepdim=True)), {})


def softmax_magnitude(x: Tensor, y: Tensor, sx: Tensor) -> Tensor:
    """S of a softmax: dy_k = y_k(dx_k − Σ_j y_j dx_j), plus exp's sensitivity to the rounding of x − max x."""
    shift = (x - x.amax(1, keepdim=True)).abs() if x.shape[1] else x
    return y * (sx + (y * sx).sum(1, keepdim=True) + 1 + shift)


class LossMagnitude(NamedTuple):
    """S of a loss's value and of its gradient with respect to the network's output."""

    value: Tensor
    doutput: Tensor


@singledispatch
def loss(criterion: nn.Module, output: Tensor, target: Tensor, s_output: Tensor) -> LossMagnitude:
    """S of a loss from the network's output, the target and S of the output."""
    raise NotImplementedError(f"no rule for the rounding errors of {type(criterion).__name__}")


@loss.register(SquaredError)
def _(criterion: SquaredError, output: Tensor, target: Tensor, s_output: Tensor) -> LossMagnitude:
    dense = target if target.is_floating_point() else nn.functional.one_hot(target.long(), output.shape[1])
    residual = (output - dense).abs()
    s_residual = s_output + residual
    divisor = len(output) if criterion.reduction == "mean" else 1
    value = (residual * s_residual + 0.5 * residual.square()).sum() / divisor
    return LossMagnitude(value, s_residual / divisor)


@loss.register(nn.MSELoss)
def _(criterion: nn.MSELoss, output: Tensor, target: Tensor, s_output: Tensor) -> LossMagnitude:
    residual = (output - target).abs()
    s_residual = s_output + residual
    divisor = output.numel() if criterion.reduction == "mean" else 1
    value = (2 * residual * s_residual + residual.square()).sum() / divisor
    return LossMagnitude(value, 2 * s_residual / divisor)


@loss.register(CrossEntropy)
def _(criterion: CrossEntropy, output: Tensor, target: Tensor, s_output: Tensor) -> LossMagnitude:
    p = torch.softmax(output, 1)
    onehot = nn.functional.one_hot(target.long(), output.shape[1])
    divisor = len(output) if criterion.reduction == "mean" else 1
    # J = ln Σ exp(z) − z_t is computed as ln Σ exp(z − max) − (z_t − max), rounded at the size of both terms.
    peak = output.amax(1) if output.shape[1] else output.sum(1)
    chosen = (output * onehot).sum(1)
    per_sample = (
        ((p - onehot).abs() * s_output).sum(1) + (torch.logsumexp(output, 1) - peak) + (chosen - peak).abs() + 1
    )
    doutput = softmax_magnitude(output, p, s_output) + onehot
    return LossMagnitude(per_sample.sum() / divisor, doutput / divisor)
