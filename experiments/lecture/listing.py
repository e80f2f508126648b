"""`twice lecture`: which experiments there are, with their slides."""

import json

from experiments.invocation import command
from experiments.lecture.catalogue import ENTRIES
from experiments.terminal import plain_table, screen


def show_entries(*, as_json: bool) -> None:
    """Print the experiments in the order of the slides: name, slide, what each shows."""
    if as_json:
        print(json.dumps([entry._asdict() for entry in ENTRIES.values()], ensure_ascii=False, indent=2))
        return
    table = plain_table("experiment", "slide", "")
    table.columns[2].justify = "left"
    for entry in ENTRIES.values():
        table.add_row(entry.name, entry.heading, entry.shows)
    console = screen()
    console.print(table, markup=False)
    console.print(
        f"\n{command('lecture', 'neuron')} runs one, {command('lecture', 'all')} all of them",
        markup=False,
        soft_wrap=True,
    )
