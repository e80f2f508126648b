"""The penalty on large weights, ½λ‖W‖²."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from scratch.validation import Array, check_array, check_mapping, check_number


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
