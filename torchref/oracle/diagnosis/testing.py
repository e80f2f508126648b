"""All hypotheses about a tensor, held against all trials of two seeds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import nn

from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis import (
    conditions,
    convolving,
    drawing,
    losing,
    maxima,
    moving,
    normalising,
    optimizing,
    outputs,
    parts,
    precision,
    scattering,
    slopes,
    tables,
    tampering,
    windows,
)
from torchref.oracle.diagnosis.backwards import of_gradient, only_backward
from torchref.oracle.diagnosis.conduct import ACCUMULATED, accumulates, evidence_of, explain
from torchref.oracle.diagnosis.diagnosis import Diagnosis, Problem
from torchref.oracle.diagnosis.evidence import PLACES, evidence, located
from torchref.oracle.diagnosis.hypothesis import ABSENT, Hypothesis, Seen, contradicted, holds, seen
from torchref.oracle.kinds.kind import Trial
from torchref.oracle.optimizer import VELOCITY
from torchref.pooling import MaxPool2d

RESTATING = ("ratio", "swap", "flip", "roll", "shift", "inherited")
"""Families that say once more of the numbers what another says of the cause."""


def diagnose(problem: Problem) -> Diagnosis:
    """The hypothesis that fits all trials of both seeds, or what is known about the error."""
    name = problem.tensor.removesuffix(ABSENT)
    if problem.tensor in drawing.TENSORS and not any(trial.given for trial in problem.trials):
        return drew(problem)
    if not any(name in trial.oracle for trial in problem.trials):
        return explain(problem)
    looked = seen(problem.trials, problem.tensor)
    known = evidence(looked)
    if not any(s.failed for s in looked):
        return Diagnosis("", "", known)
    found = explanation(problem, looked)
    base = replace(problem, tensor=name)
    whole = seen(base.trials, name)
    if name != problem.tensor and any(s.failed for s in whole):
        found = explanation(base, whole) or found  # the other links tell more
    elif found is None and any(c.tensor == name + ABSENT for t in problem.trials for c in t.failures):
        absent = replace(problem, tensor=name + ABSENT)
        found = explanation(absent, seen(absent.trials, absent.tensor))
    if found is None:
        return Diagnosis("", "", (*known, *precision.as_small(looked)))
    code, says = found
    called = problem.called(name)
    when = natural(looked)
    subject = f"{called} is wrong{f' when {when}' if when else ''}: "
    return Diagnosis(code, subject + says.removeprefix("{it}: ").replace("{it}", called), known)


def drew(problem: Problem) -> Diagnosis:
    """Of what is drawn, where no number can be predicted."""
    first = drawing.drawn(problem.tensor, problem.trials)
    known = evidence_of(problem)
    if first is None or first != drawing.drawn(problem.tensor, problem.again()):
        return Diagnosis("", "", known)
    return Diagnosis(first[0], f"{problem.called(problem.tensor)}: {first[1]}", known)


def explanation(problem: Problem, looked: Sequence[Seen]) -> tuple[str, str] | None:
    """Code and sentence of what holds on both seeds; the simplest first."""
    for first in (precision.wrong_dtype, precision.leak):
        if (found := first(looked, problem.tensor)) and found == first(again(problem), problem.tensor):
            return found[0], found[1]
    name = problem.tensor.removesuffix(ABSENT)
    candidates = hypotheses(name, sample(looked), backward=only_backward(name, looked))
    outcomes = [(h, false) for h in candidates if (false := contradicted(h, looked)) is not None]
    held = [h for h, false in outcomes if not false and holds(h, again(problem))]
    if held:
        return said(held)
    for hypothesis, false in outcomes:
        wrong = [s.trial for s in looked if s.failed and (s.finite or hypothesis.strict)]
        for name, rule in conditions.separating(wrong, false):
            limited = restricted(hypothesis, rule)
            if holds(limited, again(problem)):
                return limited.code, limited.says if name == natural(looked) else f"{limited.says} (where {name})"
    for code, (says, place) in PLACES.items():
        if located(place, looked) and located(place, again(problem)):
            return code.split(" ")[0], says
    return ACCUMULATED if accumulates(problem) else None


def natural(looked: Sequence[Seen]) -> str:
    """What sets the trials that failed apart, if it can stand in a hint."""
    return conditions.common(looked, natural=True)


def again(problem: Problem) -> list[Seen]:
    """The trials of the second seed."""
    return seen(problem.again(), problem.tensor)


def said(held: Sequence[Hypothesis]) -> tuple[str, str]:
    """The first that holds; a second one of another meaning is named beside it, as nothing tells the two apart."""
    first = held[0]
    family = first.code.split(":")[0]
    other = next((h for h in held if h.code.split(":")[0] not in (family, *RESTATING)), None)
    if other is None:
        return first.code, first.says
    return first.code, f"{first.says} (or, which comes to the same in all cases: {other.says.removeprefix('{it}: ')})"


def sample(looked: Sequence[Seen]) -> Seen:
    """A trial that failed, from which constants are taken: ordinary numbers in float64 if there are any."""
    failed = [s for s in looked if s.failed]
    ordinary = [s for s in failed if s.finite and s.trial.variety == "normal"]
    exact = [s for s in ordinary if s.trial.dtype == "float64"]
    finite = [s for s in failed if s.finite]
    return (exact or ordinary or finite or failed)[0]


def restricted(hypothesis: Hypothesis, rule: conditions.Rule) -> Hypothesis:
    """A hypothesis that speaks only of trials of which a rule is true."""

    def predict(trial: Trial) -> Array | None:
        return hypothesis.predict(trial) if rule(trial) else None

    return replace(hypothesis, predict=predict)


def hypotheses(tensor: str, example: Seen, *, backward: bool) -> Iterator[Hypothesis]:
    """Every mistake that is known of a tensor of this kind of layer, the most specific first; or of backward only."""
    reference = example.trial.reference
    trial = example.trial
    suiting = of_gradient if backward else iter
    if "dy" in trial.given:
        yield from tampering.tampered(tensor, example)
        yield from slopes.activations(tensor, example)
        yield from moving.movements(tensor, example)
        yield from normalising.normalisations(tensor, trial)
        yield from suiting(windows.pools(tensor, trial))
        if isinstance(reference, MaxPool2d):
            yield from suiting(maxima.maxima(tensor))
        yield from scattering.overlaps(tensor)
        if isinstance(reference, nn.Linear | nn.Conv1d | nn.Conv2d):
            yield from convolving.weights(tensor)
            yield from suiting(convolving.biases(tensor))
        if isinstance(reference, nn.Conv1d | nn.Conv2d):
            yield from tables.tables(tensor, example)
            yield from tables.unmasked(tensor, example)
            yield from suiting(convolving.borders(tensor))
    elif "output" in trial.given:
        yield from losing.losses(tensor, example)
    elif f"start {tensor.removeprefix(VELOCITY)}" in trial.given:
        yield from optimizing.steps(tensor, example)
    else:
        yield from optimizing.penalties(tensor, example)
    if "dy" in trial.given:
        yield from tampering.misreadings(tensor)
    yield from outputs.ratios(tensor)
    if "dy" in trial.given and tensor != "y":
        yield from parts.subsets(tensor)
        yield from parts.mixed_up(tensor)
    yield from outputs.rearranged(tensor, example)
    yield from outputs.reread(tensor, example)
    yield from outputs.constant_ratio(tensor, example)
    yield from outputs.negated(tensor, example)
    if "dy" in trial.given and tensor != "y":
        yield from outputs.exchanged(tensor, trial)
