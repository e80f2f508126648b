"""What holds a large network back: the penalty on large weights, ½λ‖W‖², and dropping units at random."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from scratch.module import Mask, Module
from scratch.validation import Array, check_array, check_like, check_mapping, check_number, check_shape, is_array


def is_weight(name: str) -> bool:
    """Whether a parameter belongs to W: "fc1.weight" does, "fc1.bias" does not."""
    return name.rpartition(".")[2] == "weight"


class L2PenaltyCache(NamedTuple):
    """The weights by name, without the biases."""

    weights: dict[str, Array]


class L2Penalty:
    """R = ½λ‖W‖²_F over all weights, none of the biases, with ∂R/∂W = λW.

    Parameters
    ----------
    decay:
        λ, at least 0.

    Raises
    ------
    TypeError, ValueError
        If λ is not a finite number of at least 0.

    Source: 问题描述, "可以引入正则项". The slide's update leaves the term's own gradient out; it is λW, added to the
    loss's: W ← W − α(∂J/∂W + λW). `optim.SGD(weight_decay=λ)` takes the same step without forming R.
    """

    def __init__(self, decay: float) -> None:
        self.decay = check_number("decay", decay, least=0)

    def forward(self, params: Mapping[str, Array]) -> tuple[np.floating[Any], L2PenaltyCache]:
        """The penalty of parameters given by name.

        Parameters
        ----------
        params:
            Arrays of one dtype; those whose name ends in "weight" count.

        Returns
        -------
        value, cache:
            A scalar of the parameters' dtype, and what `backward` needs.

        Raises
        ------
        TypeError
            If params is no mapping, a weight not a float32 or float64 array, or two differ in dtype.
        ValueError
            If no name ends in "weight".
        """
        check_mapping("params", params)
        weights = {name: array for name, array in params.items() if is_weight(name)}
        if not weights:
            raise ValueError(f"params has the names {sorted(params)}, expected at least one that ends in 'weight'")
        first = next(iter(weights.values()))
        check_array(next(iter(weights)), first)
        for name, weight in weights.items():
            check_array(name, weight, first.dtype)
        squares = np.array([(weight * weight).sum() for weight in weights.values()], first.dtype)
        return self.decay * (0.5 * squares.sum()), L2PenaltyCache(weights)

    def backward(self, cache: L2PenaltyCache) -> dict[str, Array]:
        """∂R/∂W = λW by name, for the weights only."""
        return {name: self.decay * weight for name, weight in cache.weights.items()}


def dropout_mask(shape: tuple[int, ...], p: float, rng: np.random.Generator) -> Mask:
    """Which units stay: each on its own, with probability 1 − p."""
    return rng.random(shape) >= p


def dropout(x: Array, mask: Mask, p: float) -> Array:
    """x · mask/(1 − p): what stays is enlarged, so that the expected value is x."""
    scale = mask.astype(x.dtype) * x.dtype.type(1 / (1 - p))
    y: Array = x * scale
    return y


class DropoutCache(NamedTuple):
    """The output (for its shape and dtype), and the mask; None if nothing was dropped."""

    y: Array
    mask: Mask | None


class Dropout(Module):
    """Units dropped at random while training, the rest enlarged: y = x · m/(1 − p), m ∈ {0, 1} with P(m = 0) = p.

    Inverted dropout: with nothing dropped, as in evaluation, y = x and no weight has to be rescaled. The layer draws
    nothing by itself. A pass drops units only if it is given a mask, or a generator that draws one.

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
        self.p = check_number("p", p, least=0, below=1)

    def forward(self, x: Array, mask: Mask | np.random.Generator | None = None) -> tuple[Array, DropoutCache]:
        """Any shape -> the same shape.

        Parameters
        ----------
        x:
            The units.
        mask:
            A boolean array of x's shape, True where a unit stays; or a generator that draws it; or None, and the
            output is a copy of x. `cache.mask` has the mask that was used: a given one itself, as a cache keeps x.

        Raises
        ------
        TypeError, ValueError
            If `mask` is something else, or of another shape.
        """
        check_array("x", x)
        if mask is None:
            y = x.copy()
            return y, DropoutCache(y, None)
        if isinstance(mask, np.random.Generator):
            mask = dropout_mask(x.shape, self.p, mask)
        if not is_array(mask) or mask.dtype != np.bool_:
            came = f"has dtype {mask.dtype}" if is_array(mask) else f"is a {type(mask).__name__}"
            raise TypeError(f"mask {came}, expected a boolean array, a numpy.random.Generator or None")
        check_shape("mask", mask, x.shape)
        y = dropout(x, mask, self.p)
        return y, DropoutCache(y, mask)

    def backward(self, dy: Array, cache: DropoutCache) -> tuple[Array, dict[str, Array]]:
        """dy · m/(1 − p): what was dropped receives nothing."""
        check_like("dy", dy, cache.y)
        return (dy.copy() if cache.mask is None else dropout(dy, cache.mask, self.p)), {}

    def dropouts(self) -> tuple[str, ...]:
        """Itself."""
        return ("",)
