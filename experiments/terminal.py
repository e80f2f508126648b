"""Where the commands write: their consoles, and the form of their tables."""

import os
import sys

from rich.console import Console
from rich.table import Table


class Screen(Console):
    """A console for commands that only show something: once its reader has left, as `head` does, they are done.

    rich would exit with status 1; `experiments.cli` knows the status that a shell expects.
    """

    def on_broken_pipe(self) -> None:
        """Raise what the system said."""
        raise BrokenPipeError


class Log(Console):
    """A console for training: when its reader has left it goes quiet, and the training continues."""

    def on_broken_pipe(self) -> None:
        """Write no more; what is still in the stream's buffer goes nowhere."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


def screen(width: int = 120) -> Screen:
    """Return a console on stdout; where that is a log, which has no window to fit, of a fixed width."""
    return Screen(highlight=False) if sys.stdout.isatty() else Screen(highlight=False, no_color=True, width=width)


def plain_table(*headings: str) -> Table:
    """Return a table without lines: the first column bold, the columns from the third on to the right if headed."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=any(headings))
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if heading and number > 1 else "left", style="" if number else "bold")
    return table
