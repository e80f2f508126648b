"""One layer held against its torch twin: output, input gradient, each parameter gradient."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchref.activation import Softmax
from torchref.oracle import criteria, magnitude, truth
from torchref.oracle.candidate import LayerCandidate, to_tensor
from torchref.oracle.comparison import Array, Comparison, Report
from torchref.oracle.linear import LINEAR, SELECTION, absolute_pass, count_terms, gradients
from torchref.oracle.purity import check_purity
from torchref.pooling import MaxPool2d

__all__ = ["LINEAR", "check_layer", "gradients", "judge", "observe"]


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
        Whether everything, parameters included, holds small integers (and what is divided by, powers of two): linear
        layers must then agree bit for bit.

    Returns
    -------
    Report
        y, dx and the gradients by the criterion that fits the layer (1 or 2: linear; 3: elementwise), criterion 6 if
        it has a table of connections, then criterion 5.

    Raises
    ------
    NotImplementedError
        If no rule is known for the rounding errors of the reference's type.
    """
    reference = copy.deepcopy(reference).cpu()  # as the arrays are; S, n and the truth are computed there too
    # The oracle's results and the look at purity come before anything that could have changed x.
    oracle = gradients(reference, to_tensor(x), to_tensor(dy))
    purity = check_purity(candidate, x, dy)
    mine = observe(candidate, x, dy)
    links = absent_links(reference, "grad ", mine)
    return Report(case, (*judge(reference, x, dy, mine, oracle, integers=integers), *links, *purity))


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
    if isinstance(reference, SELECTION):
        return [criteria.selection(name, mine[name], oracle[name]) for name in oracle]
    if isinstance(reference, MaxPool2d):
        winner = magnitude.winners(reference, xt)
        size, terms = (magnitude.route(d, winner, xt) for d in (dyt.double().abs(), torch.ones_like(dyt)))
        dx = mine["dx"], oracle["dx"]
        return [
            criteria.selection("y", mine["y"], oracle["y"]),
            criteria.exact("dx", *dx) if integers else criteria.linear_operation("dx", *dx, size, terms),
        ]
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


def absent_links(reference: nn.Module, prefix: str, mine: Mapping[str, Any]) -> list[Comparison]:
    """Criterion 6 for every layer in `reference` that has a table of connections.

    `mine` has the gradients by `prefix` and name; one that is missing is another verdict's business.
    """
    verdicts = []
    for name, layer in reference.named_modules():
        weight = f"{prefix}{name}.weight" if name else f"{prefix}weight"
        if (table := getattr(layer, "connections", None)) is not None and weight in mine:
            absent = ~table.cpu().numpy()
            absent = absent.reshape(*absent.shape, *(1,) * (layer.weight.ndim - 2))
            verdicts.append(criteria.absent_links(f"{weight}, absent links", mine[weight], absent))
    return verdicts
