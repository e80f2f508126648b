"""Gradient descent: W ← W − α ∂J/∂W."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim.sgd import sgd

from torchref.regularization import is_weight
from torchref.validation import check_like, check_mapping, check_number, check_tensor


class SGD:
    """Stochastic gradient descent with momentum and weight decay: torch's own arithmetic, the twin's interface.

    `torch.optim.SGD` is tied to its parameters and reads `.grad`; this one is given both by name, and calls the
    function under it, `torch.optim.sgd.sgd`, once for the weights (with λ) and once for the rest (without).

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
        Momentum buffers by parameter name; empty before the first step, and left as it is when μ = 0.

    Raises
    ------
    TypeError, ValueError
        If one of the numbers is not finite or out of its range.

    Source: 问题描述, 批量学习 and 在线学习; "可以引入正则项" for λ.
    """

    def __init__(self, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        self.lr = check_number("lr", lr, above=0)
        self.momentum = check_number("momentum", momentum, least=0, below=1)
        self.weight_decay = check_number("weight_decay", weight_decay, least=0)
        self.velocity: dict[str, Tensor] = {}

    @torch.no_grad()
    def step(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
        """Update `params` in place by one step along `grads`; nothing is changed if anything is refused.

        Raises
        ------
        ValueError
            If the two, or the velocity, differ in their names or shapes.
        TypeError
            If they differ in dtype.
        """
        check_names("grads", grads, params)
        if self.velocity:
            check_names("velocity", self.velocity, params)
        for name, parameter in params.items():
            check_like(f"grads[{name!r}]", grads[name], parameter)
            if self.velocity:
                check_like(f"velocity[{name!r}]", self.velocity[name], parameter)
        for decays in (True, False):
            names = [name for name in params if is_weight(name) == decays]
            buffers = [self.velocity.get(name) for name in names]
            sgd(
                [params[name] for name in names],
                [grads[name] for name in names],
                buffers,
                weight_decay=self.weight_decay if decays else 0.0,
                momentum=self.momentum,
                lr=self.lr,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )
            self.velocity.update({n: buffer for n, buffer in zip(names, buffers, strict=True) if buffer is not None})

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the velocities by parameter name: the whole state of the optimiser."""
        return {name: velocity.clone() for name, velocity in self.velocity.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take copies of the velocities in `state`; `step` checks them against the parameters.

        Raises
        ------
        TypeError, ValueError
            If `state` is no mapping of names to float32 or float64 tensors; the velocities stay as they were.
        """
        check_mapping("state", state)
        for name, velocity in state.items():
            check_tensor(f"state[{name!r}]", velocity)
        self.velocity = {name: velocity.clone() for name, velocity in state.items()}


def check_names(what: str, given: Mapping[str, Tensor], params: Mapping[str, Tensor]) -> None:
    """Raise `TypeError` unless both are mappings, `ValueError` with the differences unless their names are the same."""
    check_mapping("params", params)
    check_mapping(what, given)
    if given.keys() != params.keys():
        missing, unexpected = sorted(params.keys() - given.keys()), sorted(given.keys() - params.keys())
        raise ValueError(f"{what} does not fit the parameters: missing {missing}, unexpected {unexpected}")
