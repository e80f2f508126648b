"""`compare_training`: anybody's training against torch's, step by step."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from torchref.oracle import criteria
from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array, to_array
from torchref.oracle.diagnosis import Diagnosis, Problem, diagnose
from torchref.oracle.kinds.kind import Trial
from torchref.oracle.networks.chain import chain_of
from torchref.oracle.networks.course import Training, trial_of
from torchref.oracle.networks.followers import Follower, Lockstep
from torchref.oracle.networks.matching import match_parameters
from torchref.oracle.networks.preparing import aim_of
from torchref.oracle.optimizer import VELOCITY
from torchref.oracle.saving import save_trial
from torchref.oracle.subjects.guard import TIME_LIMIT, Guard, blame
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.verdict import Cell, Finding, Picture, Row, Verdict

UNCHANGED = "it does not change; where a step makes new arrays, parameters= has to be a function that reads them"
FREE = "free run"
"""The slug of the last row: torch's own training, never set to the candidate's parameters."""


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
        If the two cannot be compared, or there is nothing to do.
    """
    began = time.perf_counter()
    pairs = [(to_array(x), to_array(target)) for x, target in batches]
    if steps < 1 or not pairs:
        raise ValueError(f"steps is {steps} and there are {len(pairs)} batches, expected at least one of each")
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
    except (Exception, SystemExit) as error:
        trouble = blame("step", error)
        if trouble is None:
            raise
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
    trial = trial_of(training, optimizer)
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
            found = trial_of(training, optimizer)
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
        if not told.code and not np.any(after.get(name) != start.get(name)):
            told = Diagnosis("optim:unchanged", UNCHANGED, told.evidence)
        picture = None
        if trial is not None and name in trial.oracle:
            picture = Picture(np.asarray(trial.mine[name][first]), trial.oracle[name][first])
        yield Finding(
            tensor=name,
            what=f"first in {slugs[0]}: {comparison.said if comparison and slugs[0] != FREE else 'they drift apart'}",
            rows=tuple(slugs),
            hint=told.hint,
            code=told.code,
            evidence=told.evidence,
            saved="" if trial is None else save_trial(None if save_to is None else Path(save_to), title, trial, name),
            picture=picture,
            fault=comparison.fault if comparison else "",
        )
