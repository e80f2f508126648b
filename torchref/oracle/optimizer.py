"""An optimiser held against its torch twin: parameters and state after each of several steps."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from torchref.oracle import criteria
from torchref.oracle.candidate import OptimizerCandidate, to_tensor
from torchref.oracle.comparison import Array, Comparison, Report
from torchref.oracle.purity import same_bits
from torchref.regularization import is_weight

VELOCITY = "velocity "
"""What a velocity's name begins with, beside the parameter's own."""


class SGDReference(Protocol):
    """The twin: `torchref.SGD`."""

    lr: float
    momentum: float
    weight_decay: float

    def step(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
        """Update in place."""

    def state_dict(self) -> dict[str, Tensor]:
        """The velocities."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take copies of the velocities."""


class Course(NamedTuple):
    """Tensors after each step by name, (steps, …), velocities as "velocity fc1.weight"; and S of each."""

    values: dict[str, Tensor]
    sizes: dict[str, Tensor]


def follow(reference: SGDReference, params: Mapping[str, Array], grads: Sequence[Mapping[str, Array]]) -> Course:
    """The oracle's parameters and velocities over a sequence of gradients.

    The rule is linear, so S comes from the same recurrence on absolute values, S_v ← μS_v + |g| + λS_p and
    S_p ← S_p + αS_v.
    """
    theirs = {name: to_tensor(array) for name, array in params.items()}
    s_param = {name: tensor.double().abs() for name, tensor in theirs.items()}
    start = reference.state_dict()  # not empty where training goes on from a state
    s_velocity = {
        name: start[name].double().abs() if name in start else torch.zeros_like(s) for name, s in s_param.items()
    }
    course: list[dict[str, tuple[Tensor, Tensor]]] = []
    for gradient in grads:
        reference.step(theirs, {name: to_tensor(array) for name, array in gradient.items()})
        for name, size in s_param.items():
            decay = reference.weight_decay if is_weight(name) else 0.0
            s_velocity[name] = reference.momentum * s_velocity[name] + to_tensor(np.abs(gradient[name])) + decay * size
            s_param[name] = size + reference.lr * s_velocity[name]
        course.append(
            {name: (tensor.clone(), s_param[name]) for name, tensor in theirs.items()}
            | {f"{VELOCITY}{name}": (v, s_velocity[name]) for name, v in reference.state_dict().items()}
        )
    values, sizes = ({name: torch.stack([step[name][i] for step in course]) for name in course[-1]} for i in (0, 1))
    return Course(values, sizes)


def observe(
    candidate: Any, params: Mapping[str, Array], grads: Sequence[Mapping[str, Array]]
) -> tuple[list[dict[str, Array]], list[str]]:
    """What a candidate's parameters and velocities are after each step, and which gradients it had changed by then.

    All gradients so far are looked at: a velocity that is the first one's own array changes it only in the second step.
    A candidate without `state_dict` shows no velocities.
    """
    mine = {name: np.array(array) for name, array in params.items()}
    pristine = [{name: np.array(array) for name, array in gradient.items()} for gradient in grads]
    after, faults = [], []
    for step, gradient in enumerate(grads, start=1):
        candidate.step(mine, gradient)
        state = candidate.state_dict() if hasattr(candidate, "state_dict") else {}
        values = mine | {f"{VELOCITY}{name}": velocity for name, velocity in state.items()}
        after.append({name: np.array(value) for name, value in values.items()})
        pairs = zip(pristine[:step], grads[:step], strict=True)
        touched = {name for then, now in pairs for name in then if not same_bits(then[name], now[name])}
        faults.append(f"mutates the gradient of {', '.join(sorted(touched))}" if touched else "")
    return after, faults


def velocities(names: Iterable[str]) -> list[str]:
    """The names of those parameters that have a velocity."""
    return sorted(name.removeprefix(VELOCITY) for name in names if name.startswith(VELOCITY))


def check_sgd(
    case: str,
    candidate: OptimizerCandidate,
    reference: SGDReference,
    params: Mapping[str, Array],
    grads: Sequence[Mapping[str, Array]],
) -> Report:
    """Hold gradient descent with momentum and decay against its twin over a sequence of gradients.

    Returns
    -------
    Report
        Every parameter and velocity after every step by criterion 2, n being the number of steps taken, and that the
        gradients were only read.
    """
    oracle = follow(reference, params, grads)
    given = [{name: np.array(array) for name, array in gradient.items()} for gradient in grads]
    after, faults = observe(candidate, params, given)
    comparisons = []
    for step, (mine, fault) in enumerate(zip(after, faults, strict=True), start=1):
        comparisons.append(Comparison(f"step {step}, gradients", "5 purity", np.inf if fault else 0.0, fault))
        came, wanted = velocities(mine), velocities(oracle.values)
        if came != wanted:
            names = f"has {came}, oracle {wanted}"
            comparisons.append(Comparison(f"step {step}, state", "5 form", np.inf, names))
        comparisons += [
            criteria.linear_operation(
                f"step {step}, {name}", mine[name], values[step - 1], oracle.sizes[name][step - 1], torch.tensor(step)
            )
            for name, values in oracle.values.items()
            if name in mine
        ]
    return Report(case, (*comparisons, *state_copies(candidate)))


def state_copies(candidate: OptimizerCandidate) -> list[Comparison]:
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
