"""Trials with a wrong result put into them by hand, for the tests of the diagnosis."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

import scratch
from torchref.oracle.comparison import Comparison, compare_arrays
from torchref.oracle.diagnosis import CODES, Diagnosis, Problem, diagnose
from torchref.oracle.kinds import KINDS, Trial
from torchref.oracle.subjects.plain import PlainSubject

Wrong = Callable[[Trial], Any]
SEEDS = (3, 4)


@functools.cache
def trials(kind: str, slugs: tuple[str, ...], seed: int, dtypes: tuple[str, ...] = ("float64",)) -> tuple[Trial, ...]:
    """Correct trials: of some cases of a kind, or of all."""
    like = KINDS[kind]
    subject = PlainSubject(getattr(scratch, like.twin.__name__), kind)
    cases = [case for case in like.cases if not slugs or case.slug in slugs]
    return tuple(like.run(subject, c, d, v, seed) for c in cases for d in dtypes for v in like.varieties(c))


def tolerated(trial: Trial, tensor: str) -> float:
    """What is certainly no error."""
    oracle = np.asarray(trial.oracle[tensor], float)
    size = np.abs(oracle[np.isfinite(oracle)]).max(initial=0.0)
    return (1e-13 if trial.dtype == "float64" else 1e-5) * float(size) + 1e-300


def wronged(trial: Trial, tensor: str, wrong: Wrong) -> Trial:
    """The trial of a candidate that returned `wrong`; None for the oracle's."""
    with np.errstate(all="ignore"):
        mine = wrong(trial)
    oracle = trial.oracle[tensor]
    mine = oracle if mine is None else np.asarray(mine)
    if mine.dtype != oracle.dtype and not getattr(wrong, "own_dtype", False):
        mine = mine.astype(oracle.dtype)
    verdict = compare_arrays(tensor, mine, oracle, tolerated(trial, tensor), "test")
    return replace(trial, mine={**trial.oracle, tensor: mine}, comparisons=(verdict,))


def problem(tensor: str, first: Iterable[Trial], second: Iterable[Trial]) -> Problem:
    """What `judging` asks."""
    again = tuple(second)
    return Problem(tensor, tuple(first), lambda: again, lambda name: {"y": "out"}.get(name, name))


def empty(trial: Trial) -> bool:
    """Whether there are no samples."""
    return any(np.size(array) == 0 for array in trial.given.values())


def told(
    kind: str,
    tensor: str,
    wrong: Wrong,
    slugs: str = "",
    later: Wrong | None = None,
    dtypes: tuple[str, ...] = ("float64",),
) -> Diagnosis:
    """The diagnosis of a wrong result on two seeds, the second by `later` if given."""
    runs = [trials(kind, tuple(slugs.split()), seed, dtypes) for seed in SEEDS]
    pairs = zip(runs, (wrong, later or wrong), strict=True)
    first, second = ([wronged(t, tensor, w) for t in own if tensor in t.oracle and not empty(t)] for own, w in pairs)
    assert any(t.failures for t in first), "nothing is wrong"
    found = diagnose(problem(tensor, first, second))
    assert found.code == "" or found.code in CODES
    assert bool(found.code) == bool(found.hint)
    return found


def behaved(tensor: str, *faults: tuple[str, str], kind: str = "linear", slugs: str = "plain n1") -> Diagnosis:
    """The diagnosis of a comparison of conduct, beside the others that fail."""
    comparisons = tuple(Comparison(name, "5 purity", np.inf, fault) for name, fault in faults)
    first, second = (
        [replace(t, comparisons=comparisons) for t in trials(kind, tuple(slugs.split()), seed)] for seed in SEEDS
    )
    return diagnose(problem(tensor, first, second))
