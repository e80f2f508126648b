"""`check`: anybody's layer, loss or optimiser against the catalogue of its kind."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from torchref.oracle.judging import Options, judge_subject
from torchref.oracle.kinds import DTYPES, find
from torchref.oracle.subjects.calls import named
from torchref.oracle.subjects.functions import Declared, FunctionPair
from torchref.oracle.verdict import Verdict


def check(
    forward: Any,
    backward: Any = None,
    *,
    like: Any,
    layout: str | None = None,
    weight: str | None = None,
    bias: str | None = None,
    arguments: Mapping[str, str] | None = None,
    unsupported: str | Iterable[str] = (),
    dtypes: str | Iterable[str] = DTYPES,
    cases: str | Iterable[str] = (),
    seed: int = 0,
    time_limit: float = 10.0,
    shape: tuple[int, ...] | None = None,
    title: str = "",
    save_to: str | Path | None = None,
    command: Callable[[str], str] | None = None,
) -> Verdict:
    """Hold somebody's code against the oracle on the whole catalogue of its kind."""
    kind = find(like)
    said = Declared({}, dict(arguments or {}), time_limit)
    title = title or ", ".join(named(part) for part in (forward, backward) if part is not None)
    subject = FunctionPair(forward, backward, kind, title, said)
    options = Options(
        seed,
        _words(dtypes),
        frozenset(_words(unsupported)),
        _words(cases),
        save_to=None if save_to is None else Path(save_to),
    )
    return judge_subject(subject, kind, options)


def _words(given: str | Iterable[str]) -> tuple[str, ...]:
    return tuple(given.replace(",", " ").split()) if isinstance(given, str) else tuple(given)
