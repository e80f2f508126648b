"""The outcome of a training run: its numbers, its exit status, and its tables."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, Final, TextIO, TypedDict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.invocation import command
from experiments.records import finite

#: Columns that the parity table needs with its details.
DETAILED: Final = 100


class BackendResult(TypedDict):
    """What one backend reached; what was not measured (an interrupted run never opens the test set) is None."""

    test_error: float | None  # fraction wrong, 0 to 1
    test_loss: float | None
    validation_error: float | None  # the best of all epochs, fraction wrong
    train_loss: float | None
    seconds: float
    images_per_s: float
    updates: int
    epochs: int


class _Check(TypedDict):
    question: str  # what several tensors are asked alike, such as "outputs, same weights"
    name: str
    bound: float | None  # None: measured, and not judged
    passed: bool
    detail: str


class ParityCheck(_Check):
    """One criterion of the lockstep comparison, for one tensor, at its worst."""

    value: float


class RecordedCheck(_Check):
    """The same as a file has it, where NaN and infinity are null."""

    value: float | None


class Parity(TypedDict):
    """The verdict of the lockstep comparison."""

    passed: bool
    checks: list[ParityCheck]


class RecordedParity(TypedDict):
    """The same as a file has it."""

    passed: bool
    checks: list[RecordedCheck]


@dataclasses.dataclass(frozen=True)
class Summary:
    """The outcome of one training run.

    Parameters
    ----------
    run:
        Folder of the run, the parent of the backends' folders.
    backends:
        One result per backend that ran.
    parity:
        Verdict of a lockstep run, None for a single backend.
    interrupted:
        Number of the signal that ended the run early, or None.
    """

    run: Path
    backends: dict[str, BackendResult]
    parity: Parity | None = None
    interrupted: int | None = None

    @property
    def exit_code(self) -> int:
        """128 + signal if interrupted, as shells count; 1 if parity failed; else 0."""
        if self.interrupted is not None:
            return 128 + int(self.interrupted)
        return 1 if self.parity is not None and not self.parity["passed"] else 0

    def to_dict(self) -> dict[str, Any]:
        """Return the summary in JSON's types; NaN and infinity, which JSON lacks, as None."""
        interrupted = None if self.interrupted is None else int(self.interrupted)
        values = {"run": str(self.run), "backends": self.backends, "parity": self.parity, "interrupted": interrupted}
        return {**finite(values), "exit_code": self.exit_code}


def results_table(summary: Summary) -> Table:
    """Return one row per backend: errors in percent, losses, speed in images per second, time in seconds.

    What was tested is the network as the last epoch left it, not the one with the least validation error.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", caption_justify="left")
    if any(result["test_error"] is not None for result in summary.backends.values()):
        table.caption = "test error and loss: of the last epoch's parameters"
    for heading in ("", "test error", "test loss", "best val. error", "train loss", "images/s", "seconds", "updates"):
        table.add_column(heading, justify="right" if heading else "left", style=None if heading else "bold")
    for backend, result in summary.backends.items():
        table.add_row(
            backend,
            _number(result["test_error"], ".2%"),
            loss_text(result["test_loss"]),
            _number(result["validation_error"], ".2%"),
            loss_text(result["train_loss"]),
            _number(result["images_per_s"], ",.0f"),
            _number(result["seconds"], ",.1f"),
            _number(result["updates"], ",d"),
        )
    return table


def loss_text(loss: float | None) -> str:
    """Return how a loss is printed: four decimals, or four digits with an exponent if it has run away."""
    return _number(loss, ".4f" if loss is None or loss < 1e5 else ".3e")


def parity_table(parity: Parity, width: int) -> Table:
    """Return a row per question, for the tensor nearest to its bound; before them a row for every failed check.

    Where there are less than `DETAILED` columns, the last one, which tensor it was and when, is left out: a wrapped
    table cannot be read. Why something could not be measured then stands below the table.
    """
    failed = sorted((check for check in parity["checks"] if not check["passed"]), key=_ratio, reverse=True)
    worst: dict[str, ParityCheck] = {}
    for check in parity["checks"]:
        held = worst.setdefault(check["question"], check)
        if _ratio(check) > _ratio(held):
            worst[check["question"]] = check
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", caption_justify="left")
    unmeasured = [check for check in parity["checks"] if check["bound"] is None and not math.isfinite(check["value"])]
    if width < DETAILED and unmeasured:
        table.caption = Text("\n".join(f"{check['question']}: {check['detail']}" for check in unmeasured), "dim")
    table.add_column("parity", style="bold")
    for heading in ("worst", "bound", "worst/bound"):
        table.add_column(heading, justify="right")
    table.add_column("")
    if width >= DETAILED:
        table.add_column("", style="dim", overflow="fold")
    for check in [*failed, *(check for check in worst.values() if check["passed"])]:
        judged = check["bound"] is not None
        cells = [
            Text(check["question"]),
            Text(_number(check["value"] if judged or math.isfinite(check["value"]) else None, ".2g")),
            Text(_number(check["bound"], ".2g")),
            Text(_number(_ratio(check) if judged else None, ".2g")),
            _mark(check),
            Text(check["detail"]),
        ]
        table.add_row(*cells[: len(table.columns)])
    return table


def print_table(console: Console, table: Table) -> None:
    """Print a table; in a log without the blanks that fill its last column."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        console.print(Text(line.rstrip()), soft_wrap=True)


def verdict(parity: Parity) -> Text:
    """Return one line: PASS or FAIL, and how many checks say so."""
    judged = [check for check in parity["checks"] if check["bound"] is not None]
    total, passed = len(judged), sum(check["passed"] for check in judged)
    word, style = ("PASS", "bold green") if parity["passed"] else ("FAIL", "bold red")
    return Text.assemble((word, style), f"  {passed} of {total} checks within their bounds")


def tensorboard_command(run: Path) -> str:
    """Return what to type to see a run."""
    return command("tb", str(run))


def print_json(value: Any, stream: TextIO) -> None:
    """Write one JSON object and a line feed; NaN and infinity become null, which every reader understands."""
    stream.write(json.dumps(finite(value), indent=2, allow_nan=False, default=str) + "\n")
    stream.flush()


def _ratio(check: ParityCheck) -> float:
    """Return value / bound; a bound of 0 admits only 0, NaN is worse than everything, no bound is never exceeded."""
    if check["bound"] is None:
        return 0.0
    if math.isnan(check["value"]):
        return math.inf
    if check["bound"] == 0:
        return math.inf if check["value"] > 0 else 0.0
    return check["value"] / check["bound"]


def _mark(check: ParityCheck) -> Text:
    if check["bound"] is None:
        return Text("not judged", "dim")
    return Text("pass", "green") if check["passed"] else Text("FAIL", "bold red")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
