"""What holds a large network back: the penalty on large weights, ½λ‖W‖², and dropping units at random."""

from collections.abc import Mapping

import torch
from torch import Tensor

from torchref.module import Module
from torchref.validation import check_mapping, check_number, check_shape, check_tensor


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


def dropout_mask(shape: tuple[int, ...], p: float, rng: torch.Generator) -> Tensor:
    """Which units stay: each on its own, with probability 1 − p."""
    return torch.rand(shape, generator=rng, device=rng.device) >= p


class Dropout(Module):
    """Units dropped at random while training, the rest enlarged: y = x · m/(1 − p), m ∈ {0, 1} with P(m = 0) = p.

    Unlike `torch.nn.Dropout` it knows no training mode and no global generator: a pass drops units only if it is given
    a mask, or a generator that draws one.

    Parameters
    ----------
    p:
        Probability with which a unit is dropped, from 0 up to but not including 1.

    Any shape, float32 or float64.

    Raises
    ------
    TypeError, ValueError
        If p is no number from 0 to below 1.

    Source: 网络结构 / "多层感知机如何约简网络？", which names it beside shared weights. The scaling is torch's.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = check_number("p", p, least=0, below=1)

    def forward(self, x: Tensor, mask: Tensor | torch.Generator | None = None) -> Tensor:
        """Any shape -> the same shape.

        Parameters
        ----------
        x:
            The units.
        mask:
            A boolean tensor of x's shape, True where a unit stays; or a generator that draws it; or None, and the
            output is a copy of x. Either may live on another device than x.

        Raises
        ------
        TypeError, ValueError
            If `mask` is something else, or of another shape.
        """
        check_tensor("x", x)
        if mask is None:
            return x.clone()
        if isinstance(mask, torch.Generator):
            mask = dropout_mask(tuple(x.shape), self.p, mask)
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            came = f"has dtype {mask.dtype}" if isinstance(mask, Tensor) else f"is a {type(mask).__name__}"
            raise TypeError(f"mask {came}, expected a boolean tensor, a torch.Generator or None")
        check_shape("mask", mask, tuple(x.shape))
        return x * (mask.to(device=x.device, dtype=x.dtype) * (1 / (1 - self.p)))

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"

    def dropouts(self) -> tuple[str, ...]:
        """Itself."""
        return ("",)
