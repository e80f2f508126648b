"""Weight initialisers: functions of a shape and a generator, never of global state."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from scratch.validation import Array, check_dtype, check_generator


def lecun_uniform(
    shape: tuple[int, ...],
    *,
    rng: np.random.Generator,
    dtype: DTypeLike = np.float32,
    fan_in: Sequence[int] | NDArray[np.integer[Any]] | None = None,
) -> Array:
    """Uniform weights of variance 1/F, F the fan-in: w ~ U(−√(3/F), √(3/F)).

    Sums of F inputs of variance 1 then have variance 1, which keeps a tanh in its active range.

    Parameters
    ----------
    shape:
        (out, in, …).
    rng:
        Source of the numbers. They are drawn in float64 and rounded, so both precisions get the same weights.
    dtype:
        float32 or float64.
    fan_in:
        F of each output unit, (out,); None is the product of all sizes but the first.

    Raises
    ------
    TypeError, ValueError
        For another dtype, a fan-in of 0, or an rng that is no generator.

    Source: LeCun et al., Efficient BackProp (1998), section 4.6 (σ = F^(−1/2)); the lecture's step (1), 数据初始化,
    leaves the choice open.
    """
    fans = np.array([math.prod(shape[1:])] * shape[0] if fan_in is None else fan_in)
    if fans.shape != shape[:1] or not (fans > 0).all():
        raise ValueError(f"shape is {tuple(shape)}, fan_in {fans.tolist()}, expected a fan-in of at least 1 per unit")
    bound = np.sqrt(3 / fans).reshape(-1, *(1,) * (len(shape) - 1))
    return check_generator("rng", rng).uniform(-bound, bound, shape).astype(check_dtype("dtype", dtype))


def zeros(shape: tuple[int, ...], *, dtype: DTypeLike = np.float32) -> Array:
    """All zeros: the biases before training."""
    return np.zeros(shape, check_dtype("dtype", dtype))
