"""Weight initialisers: functions of a shape and a generator, never of global state."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchref.validation import check_dtype, check_generator


def lecun_uniform(
    shape: tuple[int, ...],
    *,
    rng: torch.Generator,
    dtype: torch.dtype = torch.float32,
    fan_in: Sequence[int] | Tensor | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Uniform weights of variance 1/F, F the fan-in: w ~ U(−√(3/F), √(3/F)).

    Parameters
    ----------
    shape:
        (out, in, …).
    rng:
        Source of the numbers, on the CPU. They are drawn in float64 and rounded, so both precisions get the same
        weights.
    dtype:
        torch.float32 or torch.float64.
    fan_in:
        F of each output unit, (out,); None is the product of all sizes but the first.
    device:
        Where the result goes; None is the CPU.

    Raises
    ------
    TypeError, ValueError
        For another dtype, a fan-in of 0, or an rng that is no generator.

    Source: LeCun et al., Efficient BackProp (1998), section 4.6 (σ = F^(−1/2)).
    """
    fans = torch.as_tensor([math.prod(shape[1:])] * shape[0] if fan_in is None else fan_in)
    if fans.shape != shape[:1] or not (fans > 0).all():
        raise ValueError(f"shape is {tuple(shape)}, fan_in {fans.tolist()}, expected a fan-in of at least 1 per unit")
    bound = (3 / fans.double()).sqrt().reshape(-1, *(1,) * (len(shape) - 1))
    weight = torch.empty(shape, dtype=torch.float64).uniform_(-1, 1, generator=check_generator("rng", rng)) * bound
    return weight.to(dtype=check_dtype("dtype", dtype), device=device)


def zeros(
    shape: tuple[int, ...], *, dtype: torch.dtype = torch.float32, device: torch.device | str | None = None
) -> Tensor:
    """All zeros: the biases before training."""
    return torch.zeros(shape, dtype=check_dtype("dtype", dtype), device=device)
