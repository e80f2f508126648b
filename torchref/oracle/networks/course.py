"""A candidate's training beside torch's, step by step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

import torchref
from torchref.oracle import criteria
from torchref.oracle.comparison import Array, Comparison, to_array
from torchref.oracle.kinds.kind import Case, Trial
from torchref.oracle.networks.followers import Follower, Gradient, Lockstep, gradient
from torchref.oracle.networks.matching import Matching, match_parameters
from torchref.oracle.optimizer import VELOCITY, follow
from torchref.oracle.subjects.arrays import is_array, to_numpy
from torchref.oracle.subjects.guard import Guard
from torchref.oracle.subjects.subject import Misbehaviour

LOSS = "loss"


@dataclass
class Course:
    """What happened so far, one entry for each step."""

    before: list[dict[str, Array]] = field(default_factory=list)
    after: list[dict[str, Any]] = field(default_factory=list)
    found: list[Gradient] = field(default_factory=list)
    verdicts: list[dict[str, Comparison]] = field(default_factory=list)


@dataclass
class Training:
    """A candidate's training, and torch's beside it."""

    step: Callable[[Array, Array], Any]
    read: Callable[[], Mapping[str, Any]] | None
    guard: Guard
    theirs: dict[str, tuple[int, ...]]
    said: Mapping[str, Any]
    lockstep: Lockstep
    free: Follower
    loss: nn.Module
    course: Course = field(default_factory=Course)
    matching: Matching | None = None

    def take(self, x: Array, target: Array) -> None:
        """One step on both sides.

        Raises
        ------
        Misbehaviour
            If the candidate's raises or shows no parameters.
        """
        before = self.course.after[-1] if self.course.after else self._start()
        start = {name: before[name] for name in self.theirs}
        self.lockstep.exact.load(start)
        found = gradient(self.lockstep.exact.module, self.loss, x, target)
        result = self.guard.run("step", self.step, x.copy(), target.copy())
        mine = self._shown(result)
        verdicts = self.lockstep.step(start, found, mine)
        if LOSS in mine:
            value = mine[LOSS] if is_array(mine[LOSS]) else x.dtype.type(mine[LOSS])
            verdicts = {LOSS: criteria.network(LOSS, np.asarray(value), found.loss, found.s_loss), **verdicts}
        own = gradient(self.free.module, self.loss, x, target)
        self.free.step(own.grads, own.sizes)
        self.course.before.append(start)
        self.course.after.append({**start, **mine})
        self.course.found.append(found)
        self.course.verdicts.append(verdicts)

    def _start(self) -> dict[str, Array]:
        """The parameters before the first step: torch's, which are the candidate's too."""
        return {name: np.array(to_array(p)) for name, p in self.free.parameters().items()}

    def _shown(self, result: Any) -> dict[str, Any]:
        """The parameters after a step under torch's names; velocities and the loss if they were given."""
        shown = dict(result) if isinstance(result, Mapping) else {}
        extra = {LOSS: shown.pop(LOSS)} if LOSS in shown else {}
        if isinstance(result, float) or (is_array(result) and np.ndim(to_array(result)) == 0):
            extra = {LOSS: result}
        if self.read is not None:
            shown |= self.guard.call("parameters", self.read)
        arrays = {name: np.array(to_numpy(value, "step", name)) for name, value in shown.items()}
        plain = {name: array for name, array in arrays.items() if not name.startswith(VELOCITY)}
        if not plain:
            raise Misbehaviour("step", "shows no parameters: return them by name, or say parameters=")
        if self.matching is None:
            self.matching = match_parameters({name: a.shape for name, a in plain.items()}, self.theirs, self.said)
        for name, array in arrays.items():
            lead = VELOCITY if name.startswith(VELOCITY) else ""
            partner = self.matching.partners.get(name.removeprefix(lead))
            if partner is not None:
                extra[f"{lead}{partner.torch}"] = partner.back(array)
        return extra


def trial_of(training: Training, optimizer: Any) -> Trial | None:
    """The whole course as a trial of the optimiser, for hypotheses about it; None if it is not plain SGD."""
    rule = plain_sgd(optimizer)
    course = training.course
    if rule is None or not course.after:
        return None
    start = course.before[0]
    grads = [{name: to_array(tensor) for name, tensor in found.grads.items()} for found in course.found]
    oracle = follow(rule, start, grads)
    given = {f"start {name}": array for name, array in start.items()}
    given |= {f"grad {name}": np.stack([g[name] for g in grads]) for name in start}
    names = [
        n for n in oracle.values if all(n in a and np.shape(a[n]) == oracle.values[n].shape[1:] for a in course.after)
    ]
    mine = {name: np.stack([after[name] for after in course.after]) for name in names}
    verdicts = []
    for name in names:
        steps = torch.arange(1, len(course.after) + 1).reshape(-1, *(1,) * (mine[name].ndim - 1))
        verdict = criteria.linear_operation(name, mine[name], oracle.values[name], oracle.sizes[name], steps)
        wrong = any(not step[name].passed for step in course.verdicts if name in step)
        verdicts.append(verdict if wrong else replace(verdict, ratio=min(verdict.ratio, 1.0)))
    config = {"lr": rule.lr, "momentum": rule.momentum, "weight_decay": rule.weight_decay}
    case = Case("training", "training", config, ())
    values = {name: to_array(tensor) for name, tensor in oracle.values.items()}
    dtype = str(next(iter(start.values())).dtype)
    return Trial(case, dtype, "normal", 0, given, plain_sgd(optimizer), mine, values, tuple(verdicts))


def plain_sgd(optimizer: Any) -> torchref.SGD | None:
    """A fresh `torchref.SGD` with an optimiser's settings; None if it does more or other things."""
    if isinstance(optimizer, torchref.SGD):
        return torchref.SGD(optimizer.lr, optimizer.momentum, optimizer.weight_decay)
    if type(optimizer) is not torch.optim.SGD or len(optimizer.param_groups) != 1:
        return None
    group = optimizer.param_groups[0]
    if group["dampening"] or group["nesterov"] or group["maximize"] or group["weight_decay"]:
        return None
    return torchref.SGD(group["lr"], group["momentum"])
