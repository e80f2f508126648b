"""The lecture's networks."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from scratch.activation import Tanh
from scratch.linear import Linear
from scratch.module import Module, Sequential
from scratch.validation import check_count

Activation: TypeAlias = Module | Callable[[], Module]
"""An activation as an object, `Tanh(1.7159, 2 / 3)`, or as what makes one, `ReLU` or `Tanh.lecun`."""


def make_activation(activation: Activation) -> Module:
    """The activation object itself, or the one its factory makes; anything else is a `TypeError`."""
    made = activation() if callable(activation) else activation
    if not isinstance(made, Module):
        raise TypeError(f"activation is {activation!r}, expected an activation object or a factory such as Tanh.lecun")
    return made


class MLP(Sequential):
    """Multilayer perceptron: a^(l) = f_l(W^(l) a^(l−1) + b^(l)), l = 1 … L.

    The layers are named fc1, f1, fc2, f2, …, fcL (and fL, if f_L is given); the parameters fc1.weight, fc1.bias, …,
    fcL.weight, fcL.bias.

    Parameters
    ----------
    sizes:
        n^0, n^1, …, n^L: the number of inputs, then of units in each layer; at least two numbers of at least 1.
    activation:
        One activation for all hidden layers (the output layer is then linear, as `CrossEntropy` wants it), or a
        sequence: of L−1 for the hidden layers, or of L to give the output layer its f_L too. Each is an object or a
        factory, not a string.
    dtype:
        float32 or float64.
    rng:
        Source of the initial weights; None draws fresh entropy.

    Raises
    ------
    TypeError, ValueError
        For sizes that are no ints of at least 1, an activation of another kind, or a sequence of another length.

    Source: 多层感知机 / 网络结构 and 多层感知机的运算. The slides write y = f_L(z^L); leave f_L out for logits.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Activation | Sequence[Activation] = Tanh,
        *,
        dtype: DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.sizes = tuple(check_count(f"sizes[{i}]", size) for i, size in enumerate(sizes))
        depth = len(self.sizes) - 1
        if depth < 1:
            raise ValueError(f"sizes is {self.sizes}, expected at least two numbers: inputs and outputs")
        rng = rng or np.random.default_rng()
        each = list(activation) if isinstance(activation, Sequence) else [activation] * (depth - 1)
        if isinstance(activation, str) or len(each) not in (depth - 1, depth):
            raise (TypeError if isinstance(activation, str) else ValueError)(
                f"activation is {activation!r}, expected one object or factory, or {depth - 1} or {depth} of them"
            )
        layers: dict[str, Module] = {}
        for i, (below, here) in enumerate(pairwise(self.sizes), start=1):
            layers[f"fc{i}"] = Linear(below, here, dtype=dtype, rng=rng)
            if i <= len(each):
                layers[f"f{i}"] = make_activation(each[i - 1])
        super().__init__(layers)
