"""The lecture's networks."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from scratch.activation import Tanh
from scratch.linear import Linear
from scratch.module import Module, Sequential
from scratch.validation import check_generator, check_sizes

Activation: TypeAlias = Module | Callable[[], Module]
"""An activation as an object, `Tanh(1.7159, 2 / 3)`, or as what makes one, `ReLU` or `Tanh.lecun`."""


def make_activation(activation: Activation) -> Module:
    """The activation object itself, or the one its factory makes; anything else is a `TypeError`."""
    made = activation if isinstance(activation, Module) or not callable(activation) else activation()
    if not isinstance(made, Module):
        raise TypeError(f"activation is {activation!r}, expected an activation object or a factory such as Tanh.lecun")
    return made


def make_activations(activation: Activation | Sequence[Activation], depth: int) -> list[Module]:
    """The activations f_1 … of a network of `depth` layers, as `MLP` documents them; anything else is refused."""
    if isinstance(activation, str) or not isinstance(activation, Sequence):
        # One is made for the output layer too, and dropped: a network without hidden layers checks it all the same.
        return [make_activation(activation) for _ in range(depth)][: depth - 1]
    if len(activation) not in (depth - 1, depth):
        expected = f"one object or factory, or {depth - 1} or {depth} of them"
        raise ValueError(f"activation is {activation!r}, expected {expected}")
    return [make_activation(one) for one in activation]


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
        self.sizes = check_sizes(sizes)
        rng = check_generator("rng", rng)
        made = make_activations(activation, len(self.sizes) - 1)
        layers: dict[str, Module] = {}
        for i, (below, here) in enumerate(pairwise(self.sizes), start=1):
            layers[f"fc{i}"] = Linear(below, here, dtype=dtype, rng=rng)
            if i <= len(made):
                layers[f"f{i}"] = made[i - 1]
        super().__init__(layers)
