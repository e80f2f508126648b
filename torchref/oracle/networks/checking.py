"""`check` for whole networks: each case built anew, and compared with torchref's layer by layer."""

import inspect
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchref.oracle.comparing import compare
from torchref.oracle.kinds.kind import Case
from torchref.oracle.kinds.networks import NetworkKind
from torchref.oracle.networks.matching import AmbiguousError, Layouts
from torchref.oracle.subjects.announcing import announce
from torchref.oracle.subjects.guard import Guard
from torchref.oracle.subjects.loading import load
from torchref.oracle.subjects.subject import Misbehaviour
from torchref.oracle.verdict import Cell, Finding, Row, Verdict


def check_network_kind(
    thing: Any,
    kind: NetworkKind,
    *,
    weight: str | None = None,
    dtypes: Sequence[str],
    cases: Sequence[str],
    seed: int,
    time_limit: float,
    title: str,
    save_to: str | Path | None,
    command: Callable[[str], str],
) -> Verdict:
    """Hold somebody's network, as a class, a factory, an object or where to find it, against torchref's.

    How weights are laid out, where it is not said, is seen in the first case in which they are not all square.

    Raises
    ------
    ValueError
        If there is no such case, or no case shows how weights are laid out.
    """
    began = time.perf_counter()
    if isinstance(thing, str):
        title = title or thing
        (thing, *_) = load(thing, time_limit)
    if unknown := set(cases) - {case.slug for case in kind.cases}:
        known = ", ".join(case.slug for case in kind.cases)
        raise ValueError(f"{kind.name} has no case {sorted(unknown)[0]!r}, expected one of {known}")
    title = title or getattr(thing, "__name__", type(thing).__name__)
    laid = Layouts(weight)

    def judged(case: Case, dtype: str) -> Verdict:
        announce("case", case.slug)
        rng = np.random.default_rng([seed, zlib.crc32(f"{kind.name} {case.slug} {dtype}".encode())])
        x = rng.normal(size=case.shape).astype(dtype)
        target = rng.integers(0, kind.classes, case.shape[0])
        twin = drawn(kind, case, dtype, rng)
        guard = Guard(time_limit, may_draw=True)
        options: dict[str, Any] = {"seed": seed, "time_limit": time_limit, "title": title, "save_to": save_to}
        try:
            mine = guard.call("construction", made, thing, case.config, np.dtype(dtype))
            return compare(mine, twin, x, target, weight=laid, command=command, **options)
        except (Misbehaviour, TypeError) as trouble:
            return _unmade(title, kind, seed, trouble)

    chosen = [(case, dtype) for case in kind.cases for dtype in dtypes if not cases or case.slug in cases]
    verdicts: dict[tuple[str, str], Verdict | None] = {}
    for case, dtype in chosen:
        try:
            verdicts[case.slug, dtype] = judged(case, dtype)
        except AmbiguousError:  # the other cases may settle it
            verdicts[case.slug, dtype] = None
    done = {(case.slug, dtype): verdicts[case.slug, dtype] or judged(case, dtype) for case, dtype in chosen}
    return merged(title, kind, seed, done, command, time.perf_counter() - began)


def drawn(kind: NetworkKind, case: Case, dtype: str, rng: np.random.Generator) -> torch.nn.Module:
    """torchref's network with random parameters, biases too."""
    twin: torch.nn.Module = kind.twin(**case.config, dtype=getattr(torch, dtype))
    with torch.no_grad():
        for parameter in twin.parameters():
            fan_in = max(1, parameter[0].numel())
            values = rng.normal(0, 1 / np.sqrt(fan_in), tuple(parameter.shape))
            parameter.copy_(
                torch.from_numpy(values) * (parameter != 0) if parameter.ndim > 1 else torch.from_numpy(values)
            )
    return twin


def made(thing: Any, config: Mapping[str, Any], dtype: np.dtype[Any]) -> Any:
    """A network of the user's: of what is configured and the dtype, it is given what it has a name for."""
    if not isinstance(thing, type) and not inspect.isroutine(thing):
        return thing
    try:
        taken = inspect.signature(thing).parameters
    except (TypeError, ValueError):
        return thing()
    given = {**config, "dtype": dtype}
    every = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values())
    named = {name: value for name, value in given.items() if every or name in taken}
    free = [
        p for p in taken.values() if p.default is p.empty and p.name not in named and p.kind == p.POSITIONAL_OR_KEYWORD
    ]
    rest = [value for name, value in config.items() if name not in named]
    return thing(*rest[: len(free)], **named)


def _unmade(title: str, kind: NetworkKind, seed: int, trouble: Exception) -> Verdict:
    """The verdict on what could not be made, or is no network."""
    fault = trouble.what if isinstance(trouble, Misbehaviour) else f"is no network: {trouble}"
    missing = isinstance(trouble, Misbehaviour) and trouble.missing
    finding = Finding("construction", fault, code="missing:part" if missing else "", missing=missing, fault=fault)
    return Verdict(title, kind.name, seed, (), (), (finding,))


def merged(
    title: str,
    kind: NetworkKind,
    seed: int,
    verdicts: Mapping[tuple[str, str], Verdict],
    command: Callable[[str], str],
    seconds: float,
) -> Verdict:
    """One verdict of many: a row for each layer where all cases have the same ones, else for each case's layers."""
    same = len({tuple(name for name, _ in v.diagram) for v in verdicts.values() if v.diagram}) <= 1
    rows: dict[str, Row] = {}
    findings: dict[tuple[str, str, str], Finding] = {}
    for (slug, dtype), verdict in verdicts.items():
        for row in verdict.rows:
            key = row.slug if same else f"{slug}: {row.slug}"
            before = rows.get(
                key, replace(row, slug=key, label=row.label if same else f"{slug}: {row.label}", cells={})
            )
            cells = dict(before.cells)
            for name, cell in row.cells.items():
                cells[name] = max(cells.get(name, cell), cell, key=_severity)
            rows[key] = replace(before, cells=cells)
        for finding in verdict.findings:
            what = f"{slug}, {dtype}: {finding.what}"
            own = tuple(name if same else f"{slug}: {name}" for name in finding.rows)
            moved = replace(finding, what=what, rows=own, reproduce=command(slug))
            findings.setdefault((finding.tensor, finding.layer, finding.code), moved)
    first = next(iter(verdicts.values()))
    found = list(verdicts.values())
    return Verdict(
        title=title,
        like=kind.name,
        seed=seed,
        columns=tuple(dict.fromkeys(name for v in found for name in v.columns)),
        rows=tuple(rows.values()),
        findings=tuple(findings.values()),
        guesses=tuple(dict.fromkeys(text for v in found for text in v.guesses)),
        remarks=tuple(dict.fromkeys(text for v in found for text in v.remarks)),
        diagram=first.diagram if same else (),
        seconds=seconds,
        tensors=sum(v.tensors for v in found),
    )


def _severity(cell: Cell) -> tuple[bool, bool, float]:
    return not cell.passed, cell.status == "wrong", cell.ratio
