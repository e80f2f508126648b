"""A verdict for the terminal: as plain text, or in colour where rich has a terminal to paint on."""

from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from torchref.oracle.reports.words import (
    clean,
    effort,
    headline,
    known,
    label,
    legend,
    one_line,
    outcome,
    said,
    some,
    status,
    unit,
)
from torchref.oracle.verdict import Finding, Verdict

STYLES = {"ok": "green", "wrong": "bold red", "inherited": "magenta", "none": "dim"}
GAP = 2


def render(verdict: Verdict) -> str:
    """The outcome, the table of cases by tensors, and the findings below it, without colours."""
    return "\n".join(line.plain.rstrip() for line in lines(verdict))


def show(verdict: Verdict, console: Console) -> None:
    """The same on a console of rich's, in colour if it has any; lines are left to the terminal to wrap."""
    for line in lines(verdict):
        line.rstrip()
        console.print(line, soft_wrap=True, highlight=False)


def lines(verdict: Verdict) -> Iterator[Text]:
    """The report line by line."""
    style = "bold green" if verdict.passed else "bold red"
    yield Text.assemble(
        ("PASS" if verdict.passed else "FAIL", style),
        (f"  {one_line(verdict.title)} ", "bold"),
        f"{outcome(verdict)} ({effort(verdict)})",
    )
    if verdict.rows:
        yield from table(verdict)
    for what, notes in (("guessed", verdict.guesses), ("note", verdict.remarks)):
        for note in notes:
            yield Text(f"{what}: {one_line(note)}")
    for finding in verdict.findings:
        yield from explained(finding)


def table(verdict: Verdict) -> Iterator[Text]:
    """The table, aligned by what characters take on the screen."""
    head = unit(verdict)
    names = [label(name) for name in verdict.columns]
    labels = [label(row.label) for row in verdict.rows]
    first = max(map(cell_len, [head, *labels])) + GAP
    ran = [row for row in verdict.rows if not row.skipped]
    widths = [
        max([cell_len(name), *(cell_len(said(row.cells.get(column), column)) for row in ran)]) + GAP
        for name, column in zip(names, verdict.columns, strict=True)
    ]
    yield Text(_padded(head, first) + "".join(map(_padded, names, widths)), style="bold")
    for row, name in zip(verdict.rows, labels, strict=True):
        line = Text(_padded(name, first))
        if row.skipped:
            line.append(f"skipped: {one_line(row.skipped)}", style="dim")
        else:
            for column, width in zip(verdict.columns, widths, strict=True):
                cell = row.cells.get(column)
                line.append(_padded(said(cell, column), width), style=STYLES[status(cell)])
        yield line
    yield Text(" " * first + f"({legend(verdict)})", style="dim")


def explained(finding: Finding) -> Iterator[Text]:
    """A finding: the headline, and below it what is known and how to see it again."""
    yield Text("")
    yield Text.assemble(("✗ ", "bold red"), (headline(finding), "bold"))
    if finding.missing:
        return
    where = (f"where: {some(finding.rows)}",) if finding.rows else ()
    for paragraph in (*known(finding), *where):
        for part in clean(paragraph).splitlines():
            yield Text(f"  {part}")
    for what, text in (("reproduce", finding.reproduce), ("arrays", finding.saved)):
        first, *rest = clean(text).splitlines() or [""]
        if first:
            yield Text.assemble("  ", (f"{what}: ", "cyan"), first)
            yield from (Text(f"    {part}") for part in rest)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
