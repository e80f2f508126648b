"""One loss or penalty held against its torch twin: the value and its gradients."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from torchref.oracle import criteria, magnitude
from torchref.oracle.candidate import LossCandidate, PenaltyCandidate, to_tensor
from torchref.oracle.comparison import Array, Comparison, Report
from torchref.oracle.purity import check_loss_purity, check_penalty_purity


class LossGradient(NamedTuple):
    """The oracle's loss and ∂J/∂output."""

    value: Tensor
    doutput: Tensor


def loss_gradient(reference: nn.Module, output: Tensor, target: Tensor) -> LossGradient:
    """Value and gradient of a torch loss, by autograd."""
    output = output.detach().requires_grad_()
    value = reference(output, target)
    (doutput,) = torch.autograd.grad(value, output)
    return LossGradient(value.detach(), doutput)


def compare_loss(
    candidate: LossCandidate, reference: nn.Module, output: Array, target: Array
) -> tuple[Comparison, Comparison]:
    """Criterion 2 for a loss's value and gradient, with S from `magnitude.loss` and n the entries of the output."""
    value, cache = candidate.forward(output, target)
    doutput = candidate.backward(cache)
    output_t, target_t = to_tensor(output), to_tensor(target)
    oracle = loss_gradient(reference, output_t, target_t)
    wide = output_t.double()
    s = magnitude.loss(reference, wide, target_t, torch.zeros_like(wide))  # zeros: the output is exact here
    return (
        criteria.linear_operation("loss", value, oracle.value, s.value, torch.tensor(output.size)),
        criteria.linear_operation("doutput", doutput, oracle.doutput, s.doutput, torch.tensor(output.shape[-1])),
    )


def check_loss(case: str, candidate: LossCandidate, reference: nn.Module, output: Array, target: Array) -> Report:
    """Hold a loss against its twin on one output and target: value, gradient, then criterion 5."""
    purity = check_loss_purity(candidate, output, target)  # first: nothing has touched the arguments yet
    return Report(case, (*compare_loss(candidate, reference, output, target), *purity))


def check_penalty(case: str, candidate: PenaltyCandidate, reference: nn.Module, params: Mapping[str, Array]) -> Report:
    """Hold a penalty on named parameters against its twin: value, and gradients for exactly the names it depends on.

    All its terms are positive, so the value is its own S.
    """
    leaves = {name: to_tensor(array).requires_grad_() for name, array in params.items()}
    purity = check_penalty_purity(candidate, params)  # before anything could have changed the parameters
    value, cache = candidate.forward(params)
    grads = candidate.backward(cache)
    oracle = reference(leaves)
    flat = torch.autograd.grad(oracle, list(leaves.values()), allow_unused=True)
    theirs = {name: grad for name, grad in zip(leaves, flat, strict=True) if grad is not None}
    terms = torch.tensor(sum(array.size for array in params.values()))
    comparisons = [criteria.linear_operation("penalty", value, oracle, oracle.detach().abs(), terms)]
    if grads.keys() != theirs.keys():
        fault = f"are given for {sorted(grads)}, by the oracle for {sorted(theirs)}"
        comparisons.append(Comparison("gradients", "5 form", np.inf, fault))
    else:
        one = torch.tensor(1)
        comparisons += [
            criteria.linear_operation(f"grad {name}", grads[name], t, t.abs(), one) for name, t in theirs.items()
        ]
    return Report(case, (*comparisons, *purity))
