"""Layers that only add up products, or only move values: their rounding errors by running them on absolute values."""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from torchref.flatten import Flatten
from torchref.oracle.thinning import Thinned
from torchref.padding import Canvas2d
from torchref.pooling import AvgPool2d, Subsample2d
from torchref.regularization import Dropout

LINEAR: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d, AvgPool2d, Subsample2d, Thinned)
"""Layers whose every output and gradient is a plain sum of products: criteria 1 and 2 judge them."""
SELECTION: tuple[type[nn.Module], ...] = (Flatten, Canvas2d, Dropout)
"""Layers that only move values and compute nothing (`Dropout` without a mask): equal bit for bit."""


def gradients(reference: nn.Module, x: Tensor, dy: Tensor) -> dict[str, Tensor]:
    """The oracle's "y", "dx" and "grad <name>", by autograd; `.grad` fields stay untouched."""
    return _pass(reference, dict(reference.named_parameters()), x, dy)


def absolute_pass(reference: nn.Module, x: Tensor, dy: Tensor) -> dict[str, Tensor]:
    """S of every tensor of a linear layer: the same operation run on |W|, |b|, |x| and |dy|, in float64."""
    size = {name: p.detach().double().abs().requires_grad_() for name, p in reference.named_parameters()}
    return _pass(reference, size, x.double().abs(), dy.double().abs())


def absolute_output(reference: nn.Module, x: Tensor) -> Tensor:
    """S of a linear layer's output: the forward half of `absolute_pass`."""
    size = {name: p.detach().double().abs() for name, p in reference.named_parameters()}
    y: Tensor = functional_call(reference, size, (x.double().abs(),))
    return y


def count_terms(reference: nn.Module, x: Tensor, dy: Tensor) -> dict[str, Tensor]:
    """n of every tensor of a linear layer, elementwise: the same operation run on ones counts what is summed."""
    ones = {name: torch.ones_like(p, dtype=torch.float64).requires_grad_() for name, p in reference.named_parameters()}
    wide = torch.ones_like(x, dtype=torch.float64), torch.ones_like(dy, dtype=torch.float64)
    counts = _pass(reference, ones, *wide)
    return {name: count * _divisor(reference) for name, count in counts.items()}


def _divisor(reference: nn.Module) -> float:
    """What a layer divides by, or its factor's reciprocal: not part of the count."""
    if isinstance(reference, AvgPool2d):
        return reference.kernel_size[0] * reference.kernel_size[1]
    return 1 - reference.dropout.p if isinstance(reference, Thinned) else 1


def _pass(reference: nn.Module, params: dict[str, Tensor], x: Tensor, dy: Tensor) -> dict[str, Tensor]:
    """Output and gradients of a layer with the parameters given."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        y = functional_call(reference, params, (x,))
    dx, *grads = torch.autograd.grad(y, [x, *params.values()], dy)
    return {"y": y.detach(), "dx": dx} | {f"grad {name}": grad for name, grad in zip(params, grads, strict=True)}
