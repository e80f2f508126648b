"""Gradient descent: W ← W − α ∂J/∂W."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from scratch.regularization import is_weight
from scratch.validation import Array, alike, check_array, check_like, check_mapping, check_number

_BLOCK: Final = 1 << 15  # numbers: 128 KiB in float32, a fraction of the L2 cache


class SGD:
    """Stochastic gradient descent with momentum and weight decay.

    g ← ∂J/∂p + λp  (λ for weights only, not for biases)
    v ← μv + g      (v = 0 before the first step)
    p ← p − αv

    Batch, mini-batch and online learning are this one rule; they differ in how many samples ∂J/∂p sums over.

    Parameters
    ----------
    lr:
        Learning rate α, greater than 0.
    momentum:
        μ, from 0 up to but not including 1.
    weight_decay:
        λ of the penalty ½λ‖W‖², at least 0.

    Attributes
    ----------
    velocity:
        v by parameter name; empty before the first step, and left as it is when μ = 0.

    Raises
    ------
    TypeError, ValueError
        If one of the numbers is not finite or out of its range.

    Source: 问题描述, 批量学习 and 在线学习; "可以引入正则项" for λ. Momentum is not on the slides; the form is torch's.
    """

    def __init__(self, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        self.lr = check_number("lr", lr, above=0)
        self.momentum = check_number("momentum", momentum, least=0, below=1)
        self.weight_decay = check_number("weight_decay", weight_decay, least=0)
        self.velocity: dict[str, Array] = {}

    def step(self, params: Mapping[str, Array], grads: Mapping[str, Array]) -> None:
        """Update `params` in place by one step along `grads`; nothing is changed if anything is refused.

        Raises
        ------
        ValueError
            If the two, or the velocity, differ in their names or shapes, or a parameter is read-only.
        TypeError
            If they differ in dtype.
        """
        check_names("grads", grads, params)
        if self.velocity:
            check_names("velocity", self.velocity, params)
        for name, parameter in params.items():
            if not parameter.flags.writeable:
                raise ValueError(f"params[{name!r}] is read-only, expected an array to update in place")
            if not alike(grads[name], parameter):
                check_like(f"grads[{name!r}]", grads[name], parameter)
            if self.velocity:
                check_like(f"velocity[{name!r}]", self.velocity[name], parameter)
        for name, parameter in params.items():
            step = grads[name]
            if self.weight_decay and is_weight(name):
                step = step + self.weight_decay * parameter
            if self.momentum:
                velocity = self.velocity.setdefault(name, np.zeros_like(parameter))
                velocity *= self.momentum
                velocity += step
                step = velocity
            descend(parameter, step, self.lr)

    def state_dict(self) -> dict[str, Array]:
        """Copies of the velocities by parameter name: the whole state of the optimiser."""
        return {name: velocity.copy() for name, velocity in self.velocity.items()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take copies of the velocities in `state`; `step` checks them against the parameters.

        Raises
        ------
        TypeError, ValueError
            If `state` is no mapping of names to float32 or float64 arrays; the velocities stay as they were.
        """
        check_mapping("state", state)
        for name, velocity in state.items():
            check_array(f"state[{name!r}]", velocity)
        self.velocity = {name: velocity.copy() for name, velocity in state.items()}


def descend(parameter: Array, step: Array, lr: float) -> None:
    """P ← p − α·step in place, some rows at a time: so the product stays in the cache, however large p is."""
    if step.size <= _BLOCK:
        parameter -= lr * step
        return
    rows = max(1, _BLOCK // step[0].size)
    for i in range(0, len(step), rows):
        parameter[i : i + rows] -= lr * step[i : i + rows]


def check_names(what: str, given: Mapping[str, Array], params: Mapping[str, Array]) -> None:
    """Raise `TypeError` unless both are mappings, `ValueError` with the differences unless their names are the same."""
    check_mapping("params", params)
    check_mapping(what, given)
    if given.keys() != params.keys():
        missing, unexpected = sorted(params.keys() - given.keys()), sorted(given.keys() - params.keys())
        raise ValueError(f"{what} does not fit the parameters: missing {missing}, unexpected {unexpected}")
