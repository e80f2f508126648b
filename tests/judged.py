"""Trials of a candidate through the whole catalogue of a kind, for the tests of the kinds."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from torchref.oracle.kinds import DTYPES, Kind, Trial
from torchref.oracle.subjects.plain import PlainSubject
from torchref.oracle.subjects.subject import Incident, Misbehaviour


class FreeSubject(PlainSubject):
    """Objects of our own contract that need not know torchref's arguments, and may be told to misbehave."""

    def __init__(
        self, make: Callable[..., Any], *, stateful: bool = False, backward: bool = True, trouble: str = ""
    ) -> None:
        super().__init__(make, "candidate")
        self.stateful = stateful
        self.backward = backward
        self.trouble = trouble
        self.noted: tuple[Incident, ...] = ()

    def make(self, config: Any, parameters: Any) -> Any:
        if self.trouble:
            raise Misbehaviour("construction", self.trouble)
        return super().make(config, parameters)

    def incidents(self) -> tuple[Incident, ...]:
        return self.noted


def trials(
    kind: Kind, subject: PlainSubject, seed: int = 1, cases: str = "", dtypes: tuple[str, ...] = DTYPES
) -> Iterator[Trial]:
    """All of the catalogue, or the cases named; the candidate's warnings about NaN are silenced."""
    with np.errstate(all="ignore"):
        for case in kind.cases:
            if not cases or case.slug in cases.split():
                for dtype in dtypes:
                    for variety in kind.varieties(case):
                        assert case.needs | kind.needs(variety) <= kind.features.keys()
                        yield kind.run(subject, case, dtype, variety, seed)


def failures(kind: Kind, subject: PlainSubject, **some: Any) -> dict[str, str]:
    """What failed, by name, with the first verdict on it."""
    found: dict[str, str] = {}
    for trial in trials(kind, subject, **some):
        for comparison in trial.failures:
            found.setdefault(comparison.tensor, f"{comparison} ({trial.case.slug}, {trial.variety}, {trial.dtype})")
    return found
