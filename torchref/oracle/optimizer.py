"""An optimiser held against its torch twin: parameters and state after each of several steps."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from torchref.oracle import criteria
from torchref.oracle.candidate import OptimizerCandidate, to_tensor
from torchref.oracle.comparison import Array, Comparison, Report
from torchref.oracle.purity import same_bits
from torchref.regularization import is_weight


class SGDReference(Protocol):
    """The twin: `torchref.SGD`."""

    lr: float
    momentum: float
    weight_decay: float

    def step(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
        """Update in place."""

    def state_dict(self) -> dict[str, Tensor]:
        """The velocities."""


def check_sgd(
    case: str,
    candidate: OptimizerCandidate,
    reference: SGDReference,
    params: Mapping[str, Array],
    grads: Sequence[Mapping[str, Array]],
) -> Report:
    """Hold gradient descent with momentum and decay against its twin over a sequence of gradients.

    The rule is linear, so criterion 2 applies with S from the same recurrence on absolute values,
    S_v ← μS_v + |g| + λS_p and S_p ← S_p + αS_v, and n the number of steps taken.

    Returns
    -------
    Report
        Every parameter and velocity after every step, and that the gradients were only read.
    """
    mine = {name: np.array(array) for name, array in params.items()}
    theirs = {name: to_tensor(array) for name, array in params.items()}
    s_param = {name: to_tensor(np.abs(array)).double() for name, array in params.items()}
    start = reference.state_dict()  # not empty where training goes on from a state
    s_velocity = {
        name: start[name].abs().double() if name in start else torch.zeros_like(s) for name, s in s_param.items()
    }
    comparisons = []
    given = [{name: np.array(array) for name, array in gradient.items()} for gradient in grads]
    for step, gradient in enumerate(grads, start=1):
        candidate.step(mine, given[step - 1])
        reference.step(theirs, {name: to_tensor(array) for name, array in gradient.items()})
        # All gradients so far: a velocity that is the first one's own array changes it only in the second step.
        touched = {
            name for g, now in zip(grads[:step], given, strict=False) for name in g if not same_bits(g[name], now[name])
        }
        fault = f"mutates the gradient of {', '.join(sorted(touched))}" if touched else ""
        comparisons.append(Comparison(f"step {step}, gradients", "5 purity", np.inf if fault else 0.0, fault))
        n = torch.tensor(step)
        for name in params:
            decay = reference.weight_decay if is_weight(name) else 0.0
            s_velocity[name] = (
                reference.momentum * s_velocity[name] + to_tensor(np.abs(gradient[name])) + decay * s_param[name]
            )
            s_param[name] = s_param[name] + reference.lr * s_velocity[name]
            comparisons.append(
                criteria.linear_operation(f"step {step}, {name}", mine[name], theirs[name], s_param[name], n)
            )
        my_state, their_state = candidate.state_dict(), reference.state_dict()
        if my_state.keys() != their_state.keys():
            names = f"has {sorted(my_state)}, oracle {sorted(their_state)}"
            comparisons.append(Comparison(f"step {step}, state", "5 form", np.inf, names))
        else:
            comparisons += [
                criteria.linear_operation(f"step {step}, velocity {k}", my_state[k], v, s_velocity[k], n)
                for k, v in their_state.items()
            ]
    return Report(case, (*comparisons, *_state_copies(candidate)))


def _state_copies(candidate: OptimizerCandidate) -> list[Comparison]:
    """Whether the optimiser's state can be reached through what it gave or took."""
    state = candidate.state_dict()
    before = {name: np.array(value) for name, value in state.items()}

    def verdict(what: str, fault: str) -> Comparison:
        now = candidate.state_dict()
        intact = all(same_bits(value, now[name]) for name, value in before.items())
        return Comparison(what, "5 form", 0.0 if intact else np.inf, "" if intact else fault)

    for value in state.values():
        value += 1
    given = verdict("state_dict gives copies", "changing what it gave changes the state")
    handed = {name: np.array(value) for name, value in before.items()}
    candidate.load_state_dict(handed)
    for value in handed.values():
        value += 1
    return [given, verdict("load_state_dict takes copies", "changing what it took changes the state")]
