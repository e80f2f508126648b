"""What a training run shows: a bar on a terminal, a line per epoch elsewhere, one JSON object for machines.

The training loop speaks to a `Reporter` and never prints, so the three cannot differ in what they know.
"""

import math
import sys
import time
from collections.abc import Sequence
from typing import Final, Protocol, TextIO

from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from experiments.summary import (
    Summary,
    loss_text,
    parity_table,
    print_json,
    print_table,
    results_table,
    tensorboard_command,
    verdict,
)
from experiments.terminal import Log

#: Seconds between two redraws of the bar: often enough for the eye, too seldom to slow training down.
REDRAW: Final = 0.1


class Reporter(Protocol):
    """What the training loop tells."""

    def header(self, lines: Sequence[str]) -> None:
        """Show what is about to run: lines of a name and its facts."""

    def progress(
        self, epoch: int, epochs: int, images_done: int, images_total: int, loss: float, images_per_s: float
    ) -> None:
        """Show the state within an epoch (counted from 1); call it as often as is convenient."""

    def epoch_line(self, text: str) -> None:
        """Show the result of an epoch, or another event that should stay on the screen."""

    def finish(self, summary: Summary) -> None:
        """Show the outcome."""


class PlainReporter:
    """For logs and pipes: no bar, no colour, one line per epoch.

    Parameters
    ----------
    stream:
        Where to write.
    resume_command:
        What to type to continue an interrupted run.
    """

    def __init__(self, stream: TextIO, resume_command: str = "") -> None:
        # A fixed width: a log has no window to fit, and a wrapped table cannot be read by grep.
        self.console = Log(file=stream, force_terminal=False, no_color=True, highlight=False, width=120)
        self.resume_command = resume_command

    def header(self, lines: Sequence[str]) -> None:
        """Show what is about to run."""
        for line in lines:
            self._say(_labelled(line))

    def progress(
        self, epoch: int, epochs: int, images_done: int, images_total: int, loss: float, images_per_s: float
    ) -> None:
        """Show nothing: a log wants results."""

    def epoch_line(self, text: str) -> None:
        """Show one line."""
        self._say(Text(text))

    def finish(self, summary: Summary) -> None:
        """Show the tables, the verdict, and what to type next."""
        self.console.print()
        print_table(self.console, results_table(summary))
        if summary.parity is not None:
            self.console.print()
            print_table(self.console, parity_table(summary.parity, self.console.width))
            self._say(verdict(summary.parity))
        self.console.print()
        if summary.interrupted is not None:
            self._say(Text("interrupted; saved. Continue with", style="yellow"))
            self._say(Text(f"  {self.resume_command}", style="bold"))
        self._say(Text("see the curves"))
        self._say(Text(f"  {tensorboard_command(summary.run)}", style="bold"))

    def close(self) -> None:
        """Leave the terminal as it was found; more than once does no harm."""

    def _say(self, text: Text) -> None:
        # soft_wrap: a path or a command that is broken in two cannot be copied.
        self.console.print(text, soft_wrap=True)


class TerminalReporter(PlainReporter):
    """For a terminal: the same words in colour (unless NO_COLOR is set), and a bar while an epoch runs.

    Parameters
    ----------
    stream:
        The terminal.
    resume_command:
        What to type to continue an interrupted run.
    """

    def __init__(self, stream: TextIO, resume_command: str = "") -> None:
        super().__init__(stream, resume_command)
        self.console = Log(file=stream, highlight=False)
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._epoch = 0
        self._drawn = 0.0

    def progress(
        self, epoch: int, epochs: int, images_done: int, images_total: int, loss: float, images_per_s: float
    ) -> None:
        """Redraw the bar, at most every `REDRAW` seconds."""
        now, shown = time.monotonic(), loss_text(loss)
        if self._progress is None:
            # No refresh thread: it would take turns with the training loop for the interpreter's lock.
            self._progress = Progress(
                TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}", style="bold"),
                BarColumn(bar_width=None, complete_style="cyan", finished_style="cyan"),
                TextColumn(" {task.completed:,.0f}/{task.total:,.0f}"),
                TextColumn(" loss {task.fields[loss]}"),
                TextColumn(" {task.fields[speed]:,.0f} img/s", style="dim"),
                TextColumn(" {task.fields[left]}", style="cyan"),
                console=self.console,
                auto_refresh=False,
                transient=True,
                expand=True,
            )
            self._task = self._progress.add_task(
                "", total=images_total, epoch=epoch, epochs=epochs, loss=shown, speed=images_per_s, left=""
            )
            self._progress.start()
        if now - self._drawn < REDRAW and epoch == self._epoch:
            return
        self._drawn, self._epoch = now, epoch
        left = (images_total - images_done) / images_per_s if images_per_s > 0 else math.nan
        self._progress.update(
            self._task,
            completed=images_done,
            total=images_total,
            epoch=epoch,
            epochs=epochs,
            loss=shown,
            speed=images_per_s,
            left=duration(left),
            refresh=True,
        )

    def epoch_line(self, text: str) -> None:
        """Show one line above the bar, which is full now."""
        if self._progress is not None:
            task = self._progress.tasks[0]
            self._progress.update(self._task, completed=task.total, left="", refresh=True)
        super().epoch_line(text)

    def finish(self, summary: Summary) -> None:
        """Remove the bar, then show the outcome."""
        self.close()
        super().finish(summary)

    def close(self) -> None:
        """Remove the bar and show the cursor again."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


class JsonReporter(PlainReporter):
    """For machines: the summary as one JSON object on `stream`, everything else on `log`.

    Parameters
    ----------
    stream:
        Where the object goes.
    log:
        Where the lines for people go.
    resume_command:
        What to type to continue an interrupted run.
    """

    def __init__(self, stream: TextIO, log: TextIO, resume_command: str = "") -> None:
        super().__init__(log, resume_command)
        self.stream = stream

    def finish(self, summary: Summary) -> None:
        """Write the object."""
        if summary.interrupted is not None:
            self._say(Text(f"interrupted; saved. Continue with\n  {self.resume_command}"))
        print_json(summary.to_dict(), self.stream)


def make_reporter(as_json: bool, resume_command: str) -> PlainReporter:
    """Choose how to report: JSON on request, a bar on a terminal, plain lines elsewhere."""
    if as_json:
        return JsonReporter(sys.stdout, sys.stderr, resume_command)
    kind = TerminalReporter if sys.stdout.isatty() else PlainReporter
    return kind(sys.stdout, resume_command)


def duration(seconds: float) -> str:
    """Return h:mm:ss, or nothing if it is not known."""
    if not math.isfinite(seconds):
        return ""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _labelled(line: str) -> Text:
    """Set off the first word of a header line, its name."""
    name, _, facts = line.partition(" ")
    return Text.assemble((f"{name:<7}", "bold cyan"), facts.lstrip())
