"""`compare_training`: anybody's training against torch's, step by step."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import torchref
from torchref.oracle import criteria
from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array, Comparison, to_array
from torchref.oracle.diagnosis import Diagnosis, Problem, diagnose
from torchref.oracle.kinds.kind import Case, Trial
from torchref.oracle.networks.chain import chain_of
from torchref.oracle.networks.followers import Follower, Gradient, Lockstep, gradient
from torchref.oracle.networks.matching import Matching, match_parameters
from torchref.oracle.networks.preparing import aim_of
from torchref.oracle.optimizer import VELOCITY, follow
from torchref.oracle.saving import save_trial
from torchref.oracle.subjects.arrays import is_array, to_numpy
from torchref.oracle.subjects.guard import TIME_LIMIT, Guard
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.verdict import Cell, Finding, Picture, Row, Verdict

FREE = "free run"
"""The slug of the last row: torch's own training, never set to the candidate's parameters."""
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


def compare_training(
    mine_step: Callable[[Any, Any], Any],
    torch_module: nn.Module,
    torch_optimizer: Any,
    batches: Iterable[tuple[Any, Any]],
    *,
    steps: int,
    parameters: Callable[[], Mapping[str, Any]] | Mapping[str, Any] | None = None,
    map: Mapping[str, Any] | None = None,
    loss: Any = None,
    seed: int = 0,
    time_limit: float = TIME_LIMIT,
    title: str = "",
    save_to: str | Path | None = None,
) -> Verdict:
    """Hold a training loop against torch's on the same batches, and find the first step that goes wrong.

    Before each step torch gets the parameters that the candidate has; so each step is judged by itself, within what
    rounding may do to its gradients. Beside that torch trains freely (criterion 8, in float64).

    Parameters
    ----------
    mine_step:
        Takes x and target, trains by one step, and returns None, the loss, or a dict: parameters by name, velocities
        as "velocity <name>", and "loss".
    torch_module, torch_optimizer:
        Torch's side, with the parameters that the candidate starts from; `torch.optim`'s optimiser, a function that
        makes one from a list of parameters, or `torchref.SGD`. Neither is changed.
    batches:
        Pairs (x, target), repeated if they are fewer than the steps.
    steps:
        How many to take.
    parameters:
        The candidate's: a function that gives them by name, or a dict of the live arrays, which are set to torch's.
        Not needed where `mine_step` returns them.
    map, loss:
        As for `compare`.

    Raises
    ------
    ValueError
        If the two cannot be compared.
    """
    began = time.perf_counter()
    pairs = [(to_array(x), to_array(target)) for x, target in batches]
    dtype = getattr(torch, str(pairs[0][0].dtype))
    lockstep = Lockstep(lambda rng: Follower(torch_module, torch_optimizer, dtype, rng), seed)
    free = Follower(torch_module, torch_optimizer, dtype, None)
    aim = aim_of(chain_of(free.module, to_tensor(pairs[0][0])), loss, pairs[0][1], pairs[0][0], seed)
    theirs = {name: tuple(p.shape) for name, p in free.parameters().items()}
    guard = Guard(time_limit)
    read = parameters if callable(parameters) or parameters is None else lambda: parameters
    training = Training(mine_step, read, guard, theirs, map or {}, lockstep, free, aim.loss)
    guesses = [aim.guess] if aim.guess else []
    trouble: Misbehaviour | None = None
    try:
        guesses += _begin(training, parameters)
        for place in range(steps):
            x, target = pairs[place % len(pairs)]
            training.take(x, _like(target, x))
    except Misbehaviour as raised:
        trouble = raised
    rows = _rows(training, dtype == torch.float64 and trouble is None)
    findings = list(_findings(training, rows, pairs, title or "training", save_to, torch_optimizer))
    if trouble is not None:
        what = f"step {len(training.course.after) + 1} {trouble.what}"
        findings.append(Finding("step", what, missing=trouble.missing, fault=trouble.what))
    matched = training.matching.guesses if training.matching else ()
    columns = dict.fromkeys(name for verdicts in training.course.verdicts for name in verdicts)
    return Verdict(
        title=title or getattr(mine_step, "__name__", "training"),
        like=f"{type(torch_module).__name__} trained by {type(torch_optimizer).__name__}",
        seed=seed,
        columns=tuple(columns),
        rows=tuple(rows),
        findings=tuple(findings),
        guesses=(*guesses, *matched),
        remarks=tuple(f"{i.during} {i.what}" for i in guard.incidents() if i.harmless),
        seconds=time.perf_counter() - began,
        tensors=sum(len(verdicts) for verdicts in training.course.verdicts),
    )


def _like(target: Array, x: Array) -> Array:
    return target.astype(x.dtype) if np.issubdtype(target.dtype, np.floating) else target


def _begin(training: Training, parameters: Any) -> list[str]:
    """The same start on both sides: torch's into the candidate's arrays, or the candidate's into torch."""
    if training.read is None:
        return ["your parameters are torch's before the first step"]
    held = training.guard.call("parameters", training.read)
    shapes = {name: np.shape(value) for name, value in held.items() if not name.startswith(VELOCITY)}
    training.matching = match_parameters(shapes, training.theirs, training.said)
    start = {name: np.array(to_array(p)) for name, p in training.free.parameters().items()}
    partners = training.matching.partners
    if isinstance(parameters, Mapping) and all(isinstance(parameters[name], np.ndarray) for name in partners):
        for name, partner in partners.items():
            parameters[name][...] = partner.there(start[partner.torch])
        return []
    now = {p.torch: np.asarray(p.back(np.asarray(held[name]))) for name, p in partners.items()}
    training.free.load({**start, **{name: array.astype(start[name].dtype) for name, array in now.items()}})
    return ["torch starts from your parameters, as a function that reads them cannot set them"]


def _rows(training: Training, drifts: bool) -> list[Row]:
    """One for each step, and one for the free run."""
    rows = []
    for place, verdicts in enumerate(training.course.verdicts, start=1):
        if kinks := training.course.found[place - 1].kinks:
            rows.append(Row(f"step{place}", f"step {place}", skipped=f"too near a kink of {', '.join(kinks)}"))
            continue
        cells = {
            name: Cell(c.ratio, c.passed, "ok" if c.passed else "wrong", "" if c.passed else str(c))
            for name, c in verdicts.items()
        }
        rows.append(Row(f"step{place}", f"step {place}", cells))
    judged = [c for row in rows for c in row.cells.values()]
    if drifts and rows and len(rows) <= criteria.DRIFT_STEPS:
        right = all(cell.passed for cell in judged)
        cells = {}
        for name, tensor in training.free.parameters().items():
            c = criteria.drift(name, training.course.after[-1][name], tensor)
            status = "ok" if c.passed else "wrong" if right else "inherited"
            cells[name] = Cell(c.ratio, c.passed, status, "" if c.passed else str(c))
        rows.append(Row(FREE, f"{FREE}, {len(rows)} steps", cells))
    return rows


def _findings(
    training: Training,
    rows: list[Row],
    pairs: list[tuple[Array, Array]],
    title: str,
    save_to: str | Path | None,
    optimizer: Any,
) -> Iterable[Finding]:
    """One for each parameter, in the order of the first step in which it is wrong."""
    wrong: dict[str, list[str]] = {}
    for row in rows:
        for name, cell in row.cells.items():
            if cell.status == "wrong":
                wrong.setdefault(name, []).append(row.slug)
    trial = _trial(training, optimizer)
    again: list[Trial] = []

    def longer() -> tuple[Trial, ...]:
        """The same course and as many steps more, on the batches in reverse order."""
        if not again:
            try:
                for place in range(len(training.course.after)):
                    x, target = pairs[-1 - place % len(pairs)]
                    training.take(x, _like(target, x))
            except Misbehaviour:
                pass  # then there is no second course to hold on
            found = _trial(training, optimizer)
            again.extend([found] if found is not None else [])
        return tuple(again)

    verdicts = [dict(step) for step in training.course.verdicts]
    for name, slugs in wrong.items():
        told = Diagnosis("", "", ())
        if trial is not None and name in trial.oracle:
            told = diagnose(Problem(name, (trial,), longer, lambda tensor: tensor))
        first = 0 if slugs[0] == FREE else int(slugs[0].removeprefix("step")) - 1
        comparison = verdicts[first].get(name)
        after, start = training.course.after[first], training.course.before[first]
        picture = None
        if trial is not None and name in trial.oracle:
            picture = Picture(np.asarray(trial.mine[name][first]), trial.oracle[name][first])
        yield Finding(
            tensor=name,
            what=f"first in {slugs[0]}: {comparison.said if comparison and slugs[0] != FREE else 'they drift apart'}",
            rows=tuple(slugs),
            hint=told.hint,
            code=told.code or ("" if np.any(after.get(name) != start.get(name)) else "optim:unchanged"),
            evidence=told.evidence,
            saved="" if trial is None else save_trial(None if save_to is None else Path(save_to), title, trial, name),
            picture=picture,
            fault=comparison.fault if comparison else "",
        )


def _trial(training: Training, optimizer: Any) -> Trial | None:
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
    names = [n for n in oracle.values if all(n in a and np.shape(a[n]) == oracle.values[n].shape[1:] for a in course.after)]
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
