"""A subject through the whole catalogue of its kind: the engine behind `check`."""

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from torchref.oracle.circumstances import allowance, when
from torchref.oracle.comparison import Array, Comparison
from torchref.oracle.diagnosis import Diagnosis, Problem
from torchref.oracle.faults import Group, explained, telling
from torchref.oracle.kinds import DTYPES, Case, Kind, Trial
from torchref.oracle.lenience import leniently
from torchref.oracle.saving import save_trial
from torchref.oracle.subjects.announcing import announce
from torchref.oracle.subjects.guard import blame
from torchref.oracle.subjects.subject import Subject
from torchref.oracle.verdict import Cell, Finding, Picture, Row, Verdict

BEHAVIOUR = "behaviour"
"""The table's last column: mutation, aliasing, memory of earlier calls, global state."""
SILENT = ("construction", "forward", "step", "backward")
"""The parts that may not answer, in order."""
SECOND_SEED = 1_000_003
"""Added to the seed for the draws on which a hint is confirmed."""


@dataclass(frozen=True)
class Options:
    """How much of the catalogue is run, and where to.

    Attributes
    ----------
    seed:
        Of all draws.
    dtypes:
        "float64", "float32", or both.
    unsupported:
        Features that the candidate is declared to be without; what needs them is skipped, visibly.
    cases:
        Slugs to run; empty for all.
    command:
        Turns a case's slug into a command line or snippet that runs it again.
    save_to:
        Folder for the arrays of what failed; None for a folder of the system's for temporary files.
    skips:
        Slugs of cases that the candidate visibly has no argument or configuration for, with the reason.
    strict:
        Whether NaN, infinity and the sign of zero count; else what differs there is a remark.
    """

    seed: int = 0
    dtypes: tuple[str, ...] = DTYPES
    unsupported: frozenset[str] = frozenset()
    cases: tuple[str, ...] = ()
    command: Callable[[str], str] = field(default=lambda slug: f"cases={slug!r}")
    save_to: Path | None = None
    skips: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False


def judge_subject(subject: Subject, kind: Kind, options: Options) -> Verdict:
    """Run a subject on every case it supports, and look into what is wrong.

    Raises
    ------
    ValueError
        If a case, feature or dtype is not one of the kind's.
    """
    began = time.perf_counter()
    check_options(kind, options)
    cases = [case for case in kind.cases if not options.cases or case.slug in options.cases]
    rows: list[Row] = []
    trials: list[Trial] = []
    strange: set[tuple[str, str]] = set()
    columns = kind.columns(subject)
    for case in cases:
        lacking = ", ".join(sorted(case.needs & options.unsupported))
        if skipped := f"declared unsupported: {lacking}" if lacking else options.skips.get(case.slug, ""):
            rows.append(Row(case.slug, case.label, skipped=skipped))
            continue
        if _hangs(trials):
            rows.append(Row(case.slug, case.label, skipped="the code ran into the time limit before"))
            continue
        own = tuple(run_case(subject, kind, case, options, options.seed))
        if refused := refusal_of_pairs(subject, kind, case, own):
            rows.append(Row(case.slug, case.label, skipped=refused))
            continue
        if not options.strict:
            own, differs = leniently(kind, own)
            strange |= differs
        trials += own
        rows.append(Row(case.slug, case.label, {name: cell(own, name, columns) for name in (*columns, BEHAVIOUR)}))
    named = functools.partial(_called, subject)
    findings = find_out(subject, kind, options, tuple(trials), columns)
    remarks = {f"{i.during} {i.what}" for t in trials for i in t.incidents if i.harmless}
    wrong = {c.tensor for t in trials for c in t.failures}
    counts = "(strict=True or --strict counts it)"
    remarks |= {f"{named(tensor)} {where} {counts}" for tensor, where in strange if tensor not in wrong}
    return Verdict(
        title=subject.title,
        like=kind.name,
        seed=options.seed,
        columns=tuple(named(name) for name in (*columns, BEHAVIOUR)),
        rows=tuple(Row(r.slug, r.label, {named(k): c for k, c in r.cells.items()}, r.skipped) for r in rows),
        findings=findings,
        guesses=tuple(subject.guesses),
        remarks=tuple(sorted(remarks)),
        seconds=time.perf_counter() - began,
        tensors=sum(len(trial.comparisons) for trial in trials),
    )


def refusal_of_pairs(subject: Subject, kind: Kind, case: Case, trials: Sequence[Trial]) -> str:
    """Why a case is not counted whose settings are pairs, (rows, columns), and which the code refuses by an exception.

    Much code takes one number for both axes, and is right to; it refuses (1, 1) too where it takes 1. What takes that,
    and raises where the two differ, mixes them up. A wrong answer is another matter. "" if the case counts.
    """
    asked = [name for name in kind.settings if is_pair(case.config.get(name))]
    troubles = [t.misbehaviour for t in trials if t.misbehaviour is not None]
    raised = [t for t in troubles if t.during != "backward" and t.what.startswith("raises")]
    if not asked or not raised or len(raised) < len(trials) or takes_pairs(subject, kind, asked, trials[0]):
        return ""
    said = ", ".join(f"{name} {case.config[name]}" for name in asked)
    return f"taken to want one number: {raised[0].what.split(':')[0]} for {said}"


def takes_pairs(subject: Subject, kind: Kind, names: Sequence[str], like: Trial) -> bool:
    """Whether code answers where (n, n) is given for each n of a case that has one number for both axes."""
    for case in kind.cases:
        if all(isinstance(case.config.get(name), int) for name in names):
            paired = replace(case, config={**case.config, **{n: (case.config[n],) * 2 for n in names}})
            return run_trial(subject, kind, paired, like.dtype, "normal", like.seed).misbehaviour is None
    return False


def is_pair(value: Any) -> bool:
    """Whether a setting is one number for the rows and one for the columns."""
    return isinstance(value, tuple) and all(isinstance(number, int) for number in value)


def check_options(kind: Kind, options: Options) -> None:
    """Refuse cases, features and dtypes that there are not."""
    known = {"case": [case.slug for case in kind.cases], "feature": list(kind.features), "dtype": list(DTYPES)}
    given = {"case": options.cases, "feature": sorted(options.unsupported), "dtype": options.dtypes}
    for what, names in given.items():
        for name in names:
            if name not in known[what]:
                raise ValueError(f"{kind.name} has no {what} {name!r}, expected one of {', '.join(known[what])}")


def run_case(subject: Subject, kind: Kind, case: Case, options: Options, seed: int) -> Iterator[Trial]:
    """The trials of one case, until a part of the candidate runs on forever."""
    for dtype in options.dtypes:
        for variety in kind.varieties(case):
            if not (kind.needs(variety) & options.unsupported):
                announce("case", case.slug)
                trial = run_trial(subject, kind, case, dtype, variety, seed)
                yield trial
                if _hangs([trial]):
                    return


def run_trial(subject: Subject, kind: Kind, case: Case, dtype: str, variety: str, seed: int) -> Trial:
    """One trial; what the candidate's objects raise when they are only looked at is in it too."""
    try:
        return kind.run(subject, case, dtype, variety, seed)
    except (Exception, SystemExit) as error:
        trouble = blame("forward", error)
        if trouble is None:
            raise
        verdict = Comparison(trouble.during, "5 conduct", np.inf, trouble.what)
        return Trial(case, dtype, variety, seed, {}, None, {}, {}, (verdict,), trouble, subject.incidents())


def _hangs(trials: Iterable[Trial]) -> bool:
    """Whether a part ran into the time limit, the first time it was called or when called again."""
    called = any(t.misbehaviour is not None and t.misbehaviour.hangs for t in trials)
    return called or any(c.fault.startswith("runs longer") for t in trials for c in t.failures)


def _called(subject: Subject, name: str) -> str:
    """What a column is called: the user's name for the tensor, or ours."""
    plain = "forward" if name == "y" else f"d{name.removeprefix('grad ')}" if name.startswith("grad ") else name
    return subject.names.get(name, plain)


def column(comparison: Comparison, columns: Sequence[str]) -> str:
    """The column that a comparison belongs to: its tensor's, or the behaviour's."""
    name = comparison.tensor.removesuffix(", absent links")
    if name in columns:
        return name
    if name == "backward":
        return columns[min(1, len(columns) - 1)]
    return columns[0] if name in SILENT else BEHAVIOUR


def cell(trials: Iterable[Trial], name: str, columns: Sequence[str]) -> Cell:
    """The worst of one column over the trials of one case."""
    own = [(t, c) for t in trials for c in t.comparisons if column(c, columns) == name]
    if not own:
        return Cell(0.0, passed=True, status="not judged")
    wrong = [(t, c) for t, c in own if not c.passed]
    trial, worst = max(wrong or own, key=telling)
    note = f"{worst} ({trial.variety}, {trial.dtype})" if wrong else ""
    return Cell(worst.ratio, not wrong, "wrong" if wrong else "ok", note)


def _picture(kind: Kind, tensor: str, mine: Any, oracle: Array, worst: Comparison) -> Picture:
    axes = kind.axes.get({"dx": "x"}.get(tensor, tensor.removeprefix("grad ")), "")
    return Picture(None if mine is None else np.asarray(mine), oracle, worst.index, axes)


def _what(pairs: Sequence[tuple[Trial, Comparison]], judged: Sequence[Trial]) -> str:
    """In how many runs it is wrong, and the worst one in a sentence."""
    trial, worst = max(pairs, key=telling)
    cases, of = (len({t.case.slug for t in some}) for some in ([t for t, _ in pairs], judged))
    runs = f"in {len(pairs)} of {len(judged)} run{'s' * (len(judged) > 1)}, {cases} of {of} case{'s' * (of > 1)}"
    return f"{runs}; at worst {worst.said} ({trial.case.slug}, {trial.variety}, {trial.dtype})"


def find_out(
    subject: Subject, kind: Kind, options: Options, trials: tuple[Trial, ...], columns: Sequence[str]
) -> tuple[Finding, ...]:
    """One finding for each tensor and each way of behaving that is wrong, in the order of computation."""

    @functools.cache
    def again() -> tuple[Trial, ...]:
        second = options.seed + SECOND_SEED
        runs = tuple(run_trial(subject, kind, t.case, t.dtype, t.variety, second) for t in trials)
        return runs if options.strict else leniently(kind, runs)[0]

    wrong: dict[str, list[tuple[Trial, Comparison]]] = {}
    for trial in trials:
        for comparison in trial.failures:
            wrong.setdefault(comparison.tensor, []).append((trial, comparison))
    order = {name: place for place, name in enumerate((*SILENT[:3], columns[0], "backward", *columns[1:]))}
    called = functools.partial(_called, subject)
    findings = []
    for tensor in sorted(wrong, key=lambda name: order.get(name, len(order))):
        pairs = wrong[tensor]
        # It did not answer: nothing to explain, unless it does the first time and not when called again.
        silent = tensor in SILENT and any(t.misbehaviour is not None for t, _ in pairs)
        judged = tuple(t for t in trials if silent or any(c.tensor == tensor for c in t.comparisons))
        nothing = [Group(pairs, judged, Diagnosis("", "", allowance(kind, pairs, judged)))]
        groups = nothing if silent else explained(Problem(tensor, judged, again, called), pairs)
        findings += [_finding(subject, kind, options, tensor, group, judged) for group in groups]
    return tuple(findings)


def _finding(
    subject: Subject, kind: Kind, options: Options, tensor: str, group: Group, judged: Sequence[Trial]
) -> Finding:
    """What is said of one group of failures of a tensor, which was judged in all of these trials."""
    worst_trial, worst = max(group.pairs, key=telling)
    troubles = [t.misbehaviour for t, _ in group.pairs]
    # A body that is not written returns None always; one that does at times has forgotten a return.
    forgot = worst.fault == "returns None" and any(t.misbehaviour is None for t in judged)
    mine, oracle = worst_trial.mine.get(tensor), worst_trial.oracle.get(tensor)
    return Finding(
        tensor=_called(subject, tensor),
        what=_what(group.pairs, judged),
        rows=tuple(dict.fromkeys(t.case.slug for t, _ in group.pairs)),
        hint=group.found.hint,
        code=group.found.code,
        evidence=group.found.evidence,
        reproduce=options.command(worst_trial.case.slug),
        saved=save_arrays(options, subject, worst_trial, tensor),
        picture=None if oracle is None else _picture(kind, tensor, mine, oracle, worst),
        missing=tensor in SILENT and not forgot and all(t is not None and t.missing for t in troubles),
        when=when([t for t, _ in group.pairs], group.judged, kind.features),
        fault=worst.fault,
    )


def save_arrays(options: Options, subject: Subject, trial: Trial, tensor: str) -> str:
    """Write a trial's arrays, the given ones and both sides' results; return where they lie."""
    return save_trial(options.save_to, subject.title, trial, tensor)
