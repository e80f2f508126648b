"""The parts of a comparison: each is measured, shown, and returned as a section of the record and of the documents."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from experiments.bench import tables
from experiments.bench.cells import Cell
from experiments.bench.publishing import Section
from experiments.bench.results import Measured, verdicts
from experiments.bench.timing import entrants, time_cell
from experiments.bench.workers import WorkerError, started
from experiments.bench_command import Bench
from experiments.errors import UserError
from experiments.summary import print_table


@dataclasses.dataclass(frozen=True)
class Sitting:
    """What every part has to know.

    Parameters
    ----------
    settings:
        The command's flags.
    peers:
        Who is compared with.
    folder:
        Where figures are drawn.
    console:
        Where results are shown.
    progress:
        Told what is going on.
    """

    settings: Bench
    peers: tuple[str, ...]
    folder: Path
    console: Console
    progress: Callable[[str], None]

    def show(self, table: tables.Table) -> None:
        """Print a table under its title."""
        self.console.print(Text(table.title, "italic"), soft_wrap=True)
        print_table(self.console, tables.for_terminal(table))
        self.console.print()

    def note(self, text: str) -> None:
        """Print a line."""
        self.console.print(Text(text), soft_wrap=True)

    def held(self, found: Any) -> bool:
        """Whether a study's target is not missed; a quick one is not judged, nor one without the target's data."""
        return self.settings.quick or found.met is not False


def cells(settings: Bench) -> list[Cell]:
    """Return the cells that are asked for, in the order of the tables."""
    return [
        Cell(model=model, mode=mode, batch=batch, dtype=dtype)
        for model in settings.models
        for mode in settings.modes
        for dtype in settings.dtypes
        for batch in settings.batch_sizes
    ]


def steps(sitting: Sitting) -> Section:
    """Time every cell."""
    from experiments.bench import figures

    settings, peers = sitting.settings, sitting.peers
    names = ("scratch", *peers)
    measured: list[Measured] = []
    with _told(), started(entrants(names, settings.threads)) as workers:
        for cell in cells(settings):
            one = time_cell(cell, workers, rounds=settings.rounds, seconds=settings.seconds, progress=sitting.progress)
            measured.append(one)
            sitting.note(tables.line(one))
    sitting.console.print()
    judged = list(verdicts(measured, peers))
    speeds = tables.speeds(measured, names)
    narrow, wide = (tables.comparison(measured, peers, quartiles=quartiles) for quartiles in (False, True))
    notes = [*tables.refusals(measured), *(tables.summary(judged) if judged else ())]
    for table in (speeds, narrow) if peers else (speeds,):
        sitting.show(table)
    for note in notes:
        sitting.note(note)
    text = _text((speeds, wide) if peers else (speeds,), notes)
    content = {
        "cells": [one.to_dict() for one in measured],
        "verdicts": [verdict.to_dict() for verdict in judged],
    }
    held = all(verdict.held for verdict in judged) and not any(one.refused for one in measured)
    return Section("steps", "Steps", text, content, held, figures.throughput(measured, sitting.folder))


def growth(sitting: Sitting) -> Section:
    """Measure how the cost grows with the image and the width, beside torch where it takes part."""
    from experiments.bench import figures, scaling

    settings = sitting.settings
    keywords: dict[str, Any] = {"batch": 2} if settings.quick else {}
    with _told():
        found = scaling.measure(
            threads=settings.threads,
            rounds=settings.rounds,
            seconds=settings.seconds,
            peers=tuple(peer for peer in sitting.peers if peer == "torch"),
            progress=sitting.progress,
            **keywords,
        )
    table = scaling.table(found)
    sitting.show(table)
    notes = [note for one in found for note in tables.refusals(one.measured)]
    for note in notes:
        sitting.note(note)
    drawn = figures.growth(found, sitting.folder)
    content = [one.to_json() for one in found]
    return Section("scaling", "Cost against size", _text([table], notes), content, not notes, drawn)


def layers(sitting: Sitting) -> Section:
    """Take a training step of each network apart, at the largest batch."""
    from experiments.bench import profile

    settings = sitting.settings
    keywords: dict[str, Any] = {"passes": 2, "seconds": 0.01} if settings.quick else {}
    found = []
    for model in settings.models:
        for dtype in settings.dtypes:
            cell = Cell(model=model, mode="train", batch=max(settings.batch_sizes), dtype=dtype)
            sitting.progress(f"{cell.name}: layer by layer")
            found.append(profile.measure(cell, threads=settings.threads, **keywords))
            profile.show(found[-1], sitting.console)
    text = "\n".join(profile.markdown(one) for one in found)
    return Section("profile", "Time per layer", text, [one.to_json() for one in found])


def an_epoch(sitting: Sitting) -> Section:
    """Measure an epoch of `twice train` beside its bare steps."""
    from experiments.bench import epoch

    sitting.progress("epochs of twice train, and their bare steps")
    keywords: dict[str, Any] = {"rounds": 1, "dataset": "digits"} if sitting.settings.quick else {}
    found = epoch.measure(threads=sitting.settings.threads, **keywords)
    epoch.show(found, sitting.console)
    title = "An epoch beside its steps"
    return Section("epoch", title, epoch.markdown(found), found.to_json(), sitting.held(found))


def peak_memory(sitting: Sitting) -> Section:
    """Measure the peak memory of an epoch."""
    from experiments.bench import memory

    sitting.progress("peak memory of an epoch")
    keywords: dict[str, Any] = {"repeats": 1, "dataset": "digits", "most": 512} if sitting.settings.quick else {}
    found = memory.measure(threads=sitting.settings.threads, **keywords)
    memory.show(found, sitting.console)
    title = "Peak memory of an epoch"
    return Section("memory", title, memory.markdown(found), found.to_json(), sitting.held(found))


def ideas(sitting: Sitting) -> Section:
    """Measure what each idea brings."""
    from experiments.bench import gains

    settings = sitting.settings
    found = gains.measure(
        cells(settings), rounds=settings.rounds, seconds=gains.SHARE * settings.seconds, progress=sitting.progress
    )
    shown = []
    for kept in (True, False):
        narrow, wide = (gains.table(found, kept=kept, quartiles=quartiles) for quartiles in (False, True))
        sitting.show(narrow)
        shown.append(wide)
    notes = [f"{gain.idea.name} was refused: {gain.refused}" for gain in found if gain.refused]
    for note in notes:
        sitting.note(note)
    content = [gain.to_json() for gain in found]
    return Section("ideas", "What each idea brings", _text(shown, notes), content, not notes)


#: In the order of the document.
PARTS: Final[dict[str, Callable[[Sitting], Section]]] = {
    "steps": steps,
    "scaling": growth,
    "profile": layers,
    "epoch": an_epoch,
    "memory": peak_memory,
    "ideas": ideas,
}


def asked_for(settings: Bench) -> list[str]:
    """Return which parts the flags ask for."""
    all_of = set(PARTS) - {"ideas"} if settings.what == "all" else {settings.what}  # ideas have a page of their own
    return [name for name in PARTS if name in all_of or (name == "profile" and settings.profile)]


def _text(shown: Sequence[tables.Table], notes: Sequence[str]) -> str:
    """Tables and notes in Markdown."""
    lines = [line for table in shown for line in (*tables.markdown(table), "")]
    return "\n".join([*lines, *(f"- {note}" for note in notes)])


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """`scratch` itself has failed: said in a sentence."""
    try:
        yield
    except WorkerError as error:
        raise UserError(f"the measurement cannot go on: {error}") from None
