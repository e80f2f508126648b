"""The tables of the comparison, once for all their forms: on a terminal and in Markdown."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.table import Table as RichTable
from rich.text import Text

from experiments.bench.alternating import Spread
from experiments.bench.cells import Cell, target
from experiments.bench.results import Measured, Verdict
from experiments.terminal import plain_table

_PLACE = ("network", "step", "dtype", "batch")
"""The columns that say which cell a row is of."""


class Table(NamedTuple):
    """Words in rows under headings, and what they are; the first three columns are names, the others numbers."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def speeds(measured: Sequence[Measured], names: Sequence[str]) -> Table:
    """Return the throughput of each competitor at its best."""
    rows = tuple((*_place(one.cell), *(_speed(one, name) for name in names)) for one in measured)
    title = "Images per second, and in brackets the number of threads that made it fastest"
    return Table(title, (*_PLACE, *names), rows)


def comparison(measured: Sequence[Measured], peers: Sequence[str], *, quartiles: bool = True) -> Table:
    """Return how many times as fast as each peer `scratch` is, beside the target; without quartiles it is narrower."""
    rows = tuple((*_place(one.cell), *(_ratio(one, peer, quartiles) for peer in peers)) for one in measured)
    spread = " (quartiles)" * quartiles
    title = f"How many times as fast as these scratch is: ratio of the medians{spread}, and the target"
    return Table(title, (*_PLACE, *peers), rows)


def summary(verdicts: Sequence[Verdict]) -> list[str]:
    """Return in a line how many targets were met, and in a line each where not."""
    held = sum(verdict.held for verdict in verdicts)
    missed = [
        f"missed: {verdict.cell.name} against {verdict.peer}, {_number(verdict.ratio)} of {verdict.demanded:g}"
        for verdict in verdicts
        if not verdict.held
    ]
    return [f"{held} of {len(verdicts)} targets met", *missed]


def line(one: Measured) -> str:
    """Return a cell in a line, for whoever watches."""
    names = dict.fromkeys(timing.name for timing in one.timings)
    said = [f"{name} {rate:,.0f}" for name in names if (rate := one.images_per_second(name)) is not None]
    return f"{one.cell.name}: {', '.join(said)} images/s"


def refusals(measured: Sequence[Measured]) -> list[str]:
    """Return a line for each competitor that was not timed in a cell: which, where, why."""
    return [f"{one.cell.name}: {name} was refused: {why}" for one in measured for name, why in one.refused.items()]


def markdown(table: Table) -> Iterator[str]:
    """Return the lines of a table in Markdown."""
    yield f"{table.title}:"
    yield ""
    yield "| " + " | ".join(table.headings) + " |"
    yield "|" + "---|" * 3 + "---:|" * (len(table.headings) - 3)
    for row in table.rows:
        yield "| " + " | ".join(row) + " |"


def for_terminal(table: Table) -> RichTable:
    """Return a table as rich prints it, without its title, for which its columns may be too narrow."""
    printed = plain_table(*table.headings)
    for number in (1, 2):
        printed.columns[number].justify = "left"
    for row in table.rows:
        printed.add_row(*map(Text, row))
    return printed


def _place(cell: Cell) -> tuple[str, ...]:
    return cell.model, cell.mode, cell.dtype, f"{cell.batch}"


def _speed(one: Measured, name: str) -> str:
    best, rate = one.best(name), one.images_per_second(name)
    return "–" if best is None or rate is None else f"{rate:,.0f} ({best.threads})"


def _ratio(one: Measured, peer: str, quartiles: bool) -> str:
    ratio, demanded = one.ratio(peer), target(one.cell, peer)
    if ratio is None:
        return "–"
    said = f"{ratio.median:.2f}" + f" ({ratio.low:.2f}–{ratio.high:.2f})" * quartiles
    if demanded is None:
        return said
    held = Verdict(one.cell, peer, demanded, ratio).held
    return f"{said} {'>' if demanded == 1 else '≥'} {demanded:g} {'✓' if held else '✗'}"


def _number(ratio: Spread | None) -> str:
    return "not measured" if ratio is None else f"{ratio.median:.2f}"
