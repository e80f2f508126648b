"""The penalty on large weights, ½λ‖W‖²."""

from collections.abc import Mapping

import torch
from torch import Tensor

from torchref.module import Module
from torchref.validation import check_mapping, check_number, check_tensor


def is_weight(name: str) -> bool:
    """Whether a parameter belongs to W: "fc1.weight" does, "fc1.bias" does not."""
    return name.split(".")[-1] == "weight"


class L2Penalty(Module):
    """R = ½λ‖W‖²_F over all weights, none of the biases.

    Parameters
    ----------
    decay:
        λ, at least 0.

    Raises
    ------
    TypeError, ValueError
        If λ is not a finite number of at least 0.

    Source: 问题描述, "可以引入正则项".
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = check_number("decay", decay, least=0)

    def forward(self, params: Mapping[str, Tensor]) -> Tensor:
        """The penalty of parameters given by name, those that end in "weight": a scalar of their dtype.

        Raises
        ------
        TypeError
            If params is no mapping, a weight not a float32 or float64 tensor, or two differ in dtype.
        ValueError
            If no name ends in "weight".
        """
        check_mapping("params", params)
        weights = {name: tensor for name, tensor in params.items() if is_weight(name)}
        if not weights:
            raise ValueError(f"params has the names {sorted(params)}, expected at least one that ends in 'weight'")
        dtype = None
        for name, weight in weights.items():
            check_tensor(name, weight, dtype)
            dtype = weight.dtype
        return self.decay * 0.5 * torch.stack([weight.square().sum() for weight in weights.values()]).sum()
