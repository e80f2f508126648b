"""`twice lecture NAME`: experiments run one after the other, each printed as it ends, and the table of all verdicts."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from experiments.invocation import command
from experiments.lecture.catalogue import ENTRIES
from experiments.lecture.lab import lab
from experiments.lecture.lab.seeds import cores
from experiments.lecture.pages import write_index
from experiments.lecture.publishing import publish
from experiments.lecture.running import Outcome, lecture_folder, run
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
    console = Screen(stderr=True, highlight=False) if as_json else screen()
    folder = lecture_folder(runs_dir, quick=quick, seed=seed)
    outcomes = []
    for name in names:
        entry = ENTRIES[name]
        console.print(Text.assemble((name, "bold"), f"  {entry.heading} · {entry.english}"))
        with Console(stderr=True).status(f"{name} …"):
            outcome = run(entry, runs_dir, quick=quick, seed=seed, jobs=jobs or cores())
        show(outcome, console)
        outcomes.append(outcome)
        index = write_index(folder)  # each time: who watches sees what there is
    if len(outcomes) > 1:
        show_verdicts(outcomes, console)
    if publish_to is not None:
        for written in publish(outcomes, folder, publish_to):
            console.print(f"published {written}", markup=False)
    console.print(f"see the figures      {index}", markup=False)
    console.print(f"see the curves       {command('tb', str(folder))}", markup=False)
    held = all(outcome.held for outcome in outcomes)
    if as_json:
        answer = {"exit_code": int(not held), "experiments": [outcome.to_dict() for outcome in outcomes]}
        sys.stdout.write(json.dumps(answer, ensure_ascii=False, indent=2, allow_nan=False) + "\n")
    return 0 if held else 1


def show(outcome: Outcome, console: Console) -> None:
    """Print an experiment's tables and its claims: what is claimed, what was measured, whether it held."""
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
        count = Text(f"{held} of {len(outcome.claims)}", "green" if outcome.held else "bold red")
        table.add_row(outcome.name, outcome.heading, count, f"{outcome.seconds:.1f}")
    console.print(table)
    claims = [claim for outcome in outcomes for claim in outcome.claims]
    held = sum(claim.held for claim in claims)
    word, style = ("HELD", "bold green") if held == len(claims) else ("FAILED", "bold red")
    seconds = sum(outcome.seconds for outcome in outcomes)
    console.print(Text.assemble((word, style), f"  {held} of {len(claims)} claims, in {seconds:.0f} s\n"))


def _show_table(content: lab.Table, console: Console) -> None:
    table = plain_table(*content.headings)
    table.title, table.title_justify, table.title_style = content.title, "left", "italic"
    for column in table.columns[1:]:
        column.justify = "right"
    for row in content.rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    console.print()
