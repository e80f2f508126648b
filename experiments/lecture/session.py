"""`twice lecture NAME`: experiments run one after the other, each printed as it ends, and the table of all verdicts."""

import contextlib
import json
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from experiments.errors import UserError
from experiments.invocation import command
from experiments.lecture.catalogue import ENTRIES, Entry
from experiments.lecture.lab import lab
from experiments.lecture.lab.seeds import cores
from experiments.lecture.pages import write_index
from experiments.lecture.publishing import RESULTS, publish
from experiments.lecture.running import Outcome, lecture_folder, run
from experiments.marks import around_the_marks
from experiments.summary import print_table
from experiments.terminal import Screen, plain_table, screen


def run_lecture(
    names: Sequence[str],
    *,
    runs_dir: Path,
    quick: bool,
    seed: int,
    jobs: int,
    publish_to: Path | None,
    as_json: bool,
) -> int:
    """Run experiments, print what came of each, and say where it lies.

    Parameters
    ----------
    names:
        Of the catalogue.
    runs_dir, quick, seed:
        See `running.run`.
    jobs:
        Processes for work over seeds; 0 takes one per core.
    publish_to:
        Folder of documents for the gallery and the table of verdicts, or None.
    as_json:
        Print one JSON object to stdout, and the rest to stderr.

    Returns
    -------
    int
        Exit status: 1 if a claim did not hold.
    """
    console = Screen(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 120) if as_json else screen()
    folder = lecture_folder(runs_dir, quick=quick, seed=seed)
    if publish_to is not None:
        around_the_marks(publish_to, RESULTS)  # now: not after ten minutes
    outcomes = []
    with _ended_by_sigterm():
        for name in names:
            entry = ENTRIES[name]
            console.print(Text.assemble((name, "bold"), f"  {entry.heading} · {entry.english}"))
            with Console(stderr=True).status(f"{name} …"):
                outcome = _run(entry, runs_dir, quick, seed, jobs or cores(), others=len(names) > 1)
            show(outcome, console)
            outcomes.append(outcome)
            index = write_index(folder)  # each time: who watches sees what there is
    if len(outcomes) > 1:
        show_verdicts(outcomes, console)
    held = all(outcome.held for outcome in outcomes)
    if publish_to is not None and not any(outcome.error for outcome in outcomes):
        for written in publish(outcomes, folder, publish_to):
            console.print(f"published {written}", markup=False, soft_wrap=True)
    console.print(f"see the figures      {index}", markup=False, soft_wrap=True)
    console.print(f"see the curves       {command('tb', str(folder))}", markup=False, soft_wrap=True)
    if as_json:
        answer = {"exit_code": int(not held), "experiments": [outcome.to_dict() for outcome in outcomes]}
        sys.stdout.write(json.dumps(answer, ensure_ascii=False, indent=2, allow_nan=False) + "\n")
    return 0 if held else 1


def _run(entry: Entry, runs_dir: Path, quick: bool, seed: int, jobs: int, *, others: bool) -> Outcome:
    """Run one; where there are others, what it raises is its outcome, and they go on."""
    try:
        return run(entry, runs_dir, quick=quick, seed=seed, jobs=jobs)
    except Exception as error:
        if not others:
            raise
        if not isinstance(error, UserError):
            traceback.print_exc()  # a bug, and its place is what a maintainer needs
        said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        return Outcome(entry.name, entry.heading, entry.english, quick, seed, 0.0, (), (), (), said)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """End by an exception when SIGTERM comes, as by Ctrl-C: so that the processes of work over seeds are ended too."""

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature is Python's)
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)


def show(outcome: Outcome, console: Console) -> None:
    """Print an experiment's tables and its claims: what is claimed, what was measured, whether it held."""
    if outcome.error:
        console.print(Text.assemble("  ", ("✗ FAILED", "bold red"), f"  {outcome.error}\n"))
        return
    for table in outcome.tables:
        _show_table(table, console)
    claims = Table.grid(padding=(0, 2, 0, 0))  # what is too long for a line goes on below its own beginning
    for claim in outcome.claims:
        mark = Text("✓ held", "green") if claim.held else Text("✗ FAILED", "bold red")
        claims.add_row(mark, Text(claim.statement))
        claims.add_row("", Text(claim.measured, "dim"))
    console.print(Padding(claims, (0, 0, 0, 2)))
    console.print(f"  {outcome.seconds:.1f} s\n", markup=False)


def show_verdicts(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print a row per experiment, and how many claims held in all."""
    table = plain_table("experiment", "slide", "held", "seconds")
    for outcome in outcomes:
        held = sum(claim.held for claim in outcome.claims)
        said = "failed" if outcome.error else f"{held} of {len(outcome.claims)}"
        count = Text(said, "green" if outcome.held else "bold red")
        table.add_row(outcome.name, outcome.heading, count, f"{outcome.seconds:.1f}")
    console.print(table)
    claims = [claim for outcome in outcomes for claim in outcome.claims]
    held = sum(claim.held for claim in claims)
    all_held = all(outcome.held for outcome in outcomes)
    word, style = ("HELD", "bold green") if all_held else ("FAILED", "bold red")
    seconds = sum(outcome.seconds for outcome in outcomes)
    console.print(Text.assemble((word, style), f"  {held} of {len(claims)} claims, in {seconds:.0f} s\n"))


def _show_table(content: lab.Table, console: Console) -> None:
    table = plain_table(*content.headings)
    table.title, table.title_justify, table.title_style = content.title, "left", "italic"
    for column in table.columns[1:]:
        column.justify = "right"
    for row in content.rows:
        table.add_row(*(Text(cell) for cell in row))
    # A table that is wider than the window is printed as wide as it is: cut numbers would be none.
    width = console.measure(table, options=console.options.update(width=200)).maximum
    if width > console.width:
        console = Screen(file=console.file, highlight=False, no_color=console.no_color, width=width)
    print_table(console, table)
    console.print()
