"""What is wrong with one tensor, by sorts of fault: a wrong dtype and a wrong value are two mistakes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np

from torchref.oracle.comparison import Comparison
from torchref.oracle.diagnosis import Diagnosis, Problem, diagnose
from torchref.oracle.kinds import DTYPES, Trial
from torchref.oracle.lenience import PATTERNS

Pair: TypeAlias = tuple[Trial, Comparison]
FORM, PATTERN, VALUE = "form", "pattern", "value"


class Group(NamedTuple):
    """Failures of one tensor of one sort, or with one explanation; the trials they stand among; the explanation."""

    pairs: Sequence[Pair]
    judged: Sequence[Trial]
    found: Diagnosis


def telling(pair: Pair) -> tuple[bool, bool, bool, float]:
    """Sorts failures by how much they tell: of a batch that is not empty, of ordinary numbers, by a finite error.

    Integers allow no error, so that the smallest is infinitely too large.
    """
    trial, comparison = pair
    return 0 not in trial.case.shape, trial.variety == "normal", bool(np.isfinite(comparison.ratio)), comparison.ratio


def sort_of(failure: Comparison) -> str:
    """Whether shape, dtype or type are wrong, where NaN and infinity are, or the numbers."""
    if failure.fault.startswith(("shape ", "dtype ", "is a ")):
        return FORM
    return PATTERN if failure.fault.startswith(PATTERNS) else VALUE


def explained(problem: Problem, pairs: Sequence[Pair]) -> list[Group]:
    """The failures in groups, each with what explains it; numbers before NaN and infinity, and these before the form.

    Wrong numbers often make NaN of some input: what explains both is one mistake.
    """
    if not any(problem.tensor.removesuffix(", absent links") in trial.oracle for trial in problem.trials):
        return [Group(pairs, problem.trials, diagnose(problem))]
    sorts: dict[str, list[Pair]] = {VALUE: [], PATTERN: [], FORM: []}
    for pair in pairs:
        sorts[sort_of(pair[1])].append(pair)
    numbers = [*sorts[VALUE], *sorts[PATTERN]]
    groups = []
    if numbers:
        only = _only(problem, {VALUE, PATTERN})
        found = diagnose(only)
        if found.hint or not sorts[VALUE] or not sorts[PATTERN]:
            groups.append(Group(numbers, only.trials, found))
        else:
            only = _only(problem, {VALUE})
            groups.append(Group(sorts[VALUE], only.trials, diagnose(only)))
            groups.append(Group(sorts[PATTERN], problem.trials, diagnose(_only(problem, {PATTERN}))))
    if sorts[FORM]:
        found = diagnose(_only(problem, {FORM}))
        codes = {group.found.code for group in groups}
        groups.append(Group(sorts[FORM], problem.trials, _of_form(problem, sorts[FORM], found, codes)))
    return groups


def _of_form(problem: Problem, pairs: Sequence[Pair], found: Diagnosis, codes: set[str]) -> Diagnosis:
    """The diagnosis of a wrong dtype says so, whatever else is wrong with the numbers."""
    name = problem.tensor.removesuffix(", absent links")
    dtypes = {(str(t.mine[name].dtype), t.dtype) for t, c in pairs if c.fault.startswith("dtype ")}
    if len(dtypes) != 1 or found.code.startswith("precision:"):
        return found
    came, given = dtypes.pop()
    says = f"{problem.called(problem.tensor)} comes as {came} where {given} went in"
    if found.hint and found.code not in codes:
        return found._replace(hint=f"{found.hint}; and {says}")
    return found._replace(code=f"precision:{came}" if came in DTYPES else "", hint=says)


def _only(problem: Problem, sorts: set[str]) -> Problem:
    """The same among the trials that passed, or failed by a fault of these sorts."""

    def keep(trials: Sequence[Trial]) -> tuple[Trial, ...]:
        return tuple(t for t in trials if all(c.tensor != problem.tensor or sort_of(c) in sorts for c in t.failures))

    return replace(problem, trials=keep(problem.trials), again=lambda: keep(problem.again()))
