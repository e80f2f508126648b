"""One layer held against its torch twin: output, input gradient, each parameter gradient."""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchref.activation import Softmax
from torchref.oracle import criteria, magnitude, truth
from torchref.oracle.candidate import LayerCandidate, to_tensor
from torchref.oracle.comparison import Array, Comparison, Report
from torchref.oracle.purity import check_purity

LINEAR: tuple[type[nn.Module], ...] = (nn.Linear,)
"""Layers whose every output and gradient is a plain sum of products: criteria 1 and 2 judge them."""


def gradients(reference: nn.Module, x: Tensor, dy: Tensor) -> dict[str, Tensor]:
    """The oracle's "y", "dx" and "grad <name>", by autograd; `.grad` fields stay untouched."""
    x = x.detach().requires_grad_()
    y = reference(x)
    names, params = zip(*named, strict=True) if (named := list(reference.named_parameters())) else ((), ())
    dx, *grads = torch.autograd.grad(y, [x, *params], dy)
    return {"y": y.detach(), "dx": dx} | {f"grad {name}": grad for name, grad in zip(names, grads, strict=True)}


def absolute_pass(reference: nn.Module, x: Tensor, dy: Tensor) -> dict[str, Tensor]:
    """S of every tensor of a linear layer: the same operation run on |W|, |b|, |x| and |dy|, in float64."""
    twin = copy.deepcopy(reference).double()
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.abs_()
    return gradients(twin, x.double().abs(), dy.double().abs())


def count_terms(reference: nn.Module, x: Tensor, dy: Tensor) -> dict[str, Tensor]:
    """n of every tensor of a linear layer, elementwise: the same operation run on ones counts what is summed."""
    twin = copy.deepcopy(reference).double()
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.fill_(1)
    return gradients(twin, torch.ones_like(x).double(), torch.ones_like(dy).double())


def observe(candidate: LayerCandidate, x: Array, dy: Array) -> dict[str, Any]:
    """The candidate's "y", "dx" and "grad <name>"."""
    y, cache = candidate.forward(x)
    dx, grads = candidate.backward(dy, cache)
    return {"y": y, "dx": dx} | {f"grad {name}": grad for name, grad in grads.items()}


def check_layer(
    case: str, candidate: LayerCandidate, reference: nn.Module, x: Array, dy: Array, *, integers: bool = False
) -> Report:
    """Hold a layer against its twin on one input and one upstream gradient.

    Parameters
    ----------
    case:
        What the report is called.
    candidate, reference:
        The layer under test and the torch module, with the same parameters.
    x, dy:
        Input, and upstream gradient of the output's shape; random normal, never all ones.
    integers:
        Whether everything, parameters included, holds small integers: linear layers must then agree bit for bit.

    Returns
    -------
    Report
        y, dx and the gradients by the criterion that fits the layer (1 or 2: linear; 3: elementwise), then
        criterion 5.

    Raises
    ------
    NotImplementedError
        If no rule is known for the rounding errors of the reference's type.
    """
    reference = copy.deepcopy(reference).cpu()  # as the arrays are; S, n and the truth are computed there too
    # The oracle's results and the look at purity come before anything that could have changed x.
    oracle = gradients(reference, to_tensor(x), to_tensor(dy))
    purity = check_purity(candidate, x, dy)
    return Report(case, (*judge(reference, x, dy, observe(candidate, x, dy), oracle, integers=integers), *purity))


def judge(
    reference: nn.Module,
    x: Array,
    dy: Array,
    mine: dict[str, Any],
    oracle: dict[str, Tensor],
    *,
    integers: bool = False,
) -> list[Comparison]:
    """The comparisons of "y", "dx" and "grad <name>" by the criterion that fits the layer; their names come first."""
    if list(mine) != list(oracle):
        fault = f"returns {', '.join(mine)}, the oracle {', '.join(oracle)}"
        return [Comparison("names", "5 form", np.inf, fault)]
    xt, dyt = to_tensor(x), to_tensor(dy)
    if isinstance(reference, LINEAR):
        if integers:
            return [criteria.exact(name, mine[name], oracle[name]) for name in oracle]
        s, n = absolute_pass(reference, xt, dyt), count_terms(reference, xt, dyt)
        return [criteria.linear_operation(name, mine[name], oracle[name], s[name], n[name]) for name in oracle]
    if isinstance(reference, truth.ELEMENTWISE):
        pairs = {"y": truth.activation(reference, x), "dx": truth.activation_gradient(reference, x, dy)}
        return [criteria.elementwise(name, mine[name], *pair) for name, pair in pairs.items()]
    if isinstance(reference, Softmax):
        values = magnitude.Values(xt.double(), oracle["y"].double(), dyt.double())
        sx = torch.zeros_like(values.x)  # the input is exact
        sy = magnitude.forward(reference, values.x, values.y, sx)
        back = magnitude.backward(reference, values, sx, sy, values.dy.abs())
        return [
            criteria.elementwise("y", mine["y"], *truth.softmax(x)),
            criteria.linear_operation("dx", mine["dx"], oracle["dx"], back.dx, torch.tensor(x.shape[1])),
        ]
    raise NotImplementedError(f"no criterion is known for a layer of type {type(reference).__name__}")
