"""What is a remark rather than a fault: on NaN and infinity and in the sign of a zero, correct code differs."""

from collections.abc import Iterable
from dataclasses import replace

from torchref.oracle.comparison import Comparison
from torchref.oracle.criteria import OTHER_ZERO
from torchref.oracle.kinds import Kind, Trial

PATTERNS = ("NaN pattern", "+inf pattern", "-inf pattern", "nothing can be judged")
"""How the faults begin that are a matter of values; of a wrong shape, dtype or type there is no correct code."""
MISBEHAVES = "5 conduct"
LEAVES = ("raises SystemExit", "raises KeyboardInterrupt", "raises GeneratorExit")
"""What is no refusal of an input, but the end of the program."""


def leniently(kind: Kind, trials: Iterable[Trial]) -> tuple[tuple[Trial, ...], set[tuple[str, str]]]:
    """The trials without what differs on NaN and infinity or in the sign of a zero, and which tensors do, and where.

    Correct code of published libraries differs there; IEEE arithmetic depends on how a formula is written. Only values
    may differ, and a part may refuse such inputs by an exception; what runs on forever, returns nothing or something
    else than an array of this shape and dtype, changes its arguments or keeps anything is wrong on them too.
    """
    kept, strange = [], set()
    for trial in trials:
        unusual = "nonfinite" in trial.case.needs | kind.needs(trial.variety)
        soft = [c for c in trial.failures if c.fault.startswith(OTHER_ZERO) or (unusual and _may_differ(trial, c))]
        for c in soft:
            does = "raises an exception" if c.criterion == MISBEHAVES else "differs"
            strange.add((c.tensor, f"{does} {'on NaN and infinity' if unusual else 'in the sign of a zero'}"))
        kept.append(replace(trial, comparisons=tuple(c for c in trial.comparisons if c not in soft)))
    return tuple(kept), strange


def _may_differ(trial: Trial, failure: Comparison) -> bool:
    """Whether it is a value that differs, or an exception instead of an answer."""
    if failure.tensor in trial.oracle or failure.tensor.endswith(", absent links"):
        return not failure.fault or failure.fault.startswith(PATTERNS)
    trouble = trial.misbehaviour
    refused = trouble is not None and trouble.during != "construction" and failure.fault == trouble.what
    return refused and failure.fault.startswith("raises") and not failure.fault.startswith(LEAVES)
