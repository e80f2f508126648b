"""`twice bench`: what is asked for, measured part by part, shown, recorded, and published."""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from experiments import manifest
from experiments.atomic import write_text
from experiments.bench import publishing, tables
from experiments.bench.cells import Cell
from experiments.bench.competitors import PEERS
from experiments.bench.publishing import Section
from experiments.bench.results import Measured, machine, verdicts
from experiments.bench.timing import entrants, installed, time_cell
from experiments.bench.workers import WorkerError, started
from experiments.bench_command import Bench
from experiments.errors import USAGE_ERROR, UserError
from experiments.records import finite
from experiments.summary import print_table
from experiments.terminal import Screen, screen

Progress = Callable[[str], None]


def run_bench(settings: Bench) -> int:
    """Measure what is asked for.

    Parameters
    ----------
    settings:
        The command's flags; those that `--quick` replaces have been replaced.

    Returns
    -------
    int
        Exit status: 1 if a target is missed or a competitor computed something else.

    Raises
    ------
    UserError
        If a competitor that was named is not installed, or `scratch` itself cannot be timed.
    """
    console = Screen(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 120)
    console = console if settings.json else screen()
    if settings.publish is not None:
        publishing.around_the_marks(settings.publish)  # now: not after twenty minutes
    peers, left_out = _peers(settings)
    folder = settings.runs_dir / f"bench{'-quick' * settings.quick}"
    folder.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine(), "settings": finite(_plain(settings)), "left_out": left_out}
    heading = "\n".join([_heading(record["machine"], settings), *(f"{sentence}." for sentence in left_out)])
    console.print(heading, markup=False, soft_wrap=True)
    sections: list[Section] = []
    with Console(stderr=True).status("starting …") as status:
        for section in _sections(settings, peers, folder, console, lambda text: status.update(text)):
            sections.append(section)
            console.print()
            content = {part.name: part.content for part in sections}
            held = all(part.held for part in sections)
            answer = {**record, **content, "ended": manifest.now(), "exit_code": int(not held)}
            # Each time: a measurement that is broken off after twenty minutes has measured something.
            write_text(folder / "bench.json", json.dumps(finite(answer), indent=2, allow_nan=False) + "\n")
            write_text(folder / "bench.md", publishing.document(heading, sections, "."))
    if settings.publish is not None:
        for written in publishing.publish(heading, sections, folder, settings.publish):
            console.print(f"published {written}", markup=False, soft_wrap=True)
    console.print(f"tables and every round   {folder}", markup=False, soft_wrap=True)
    if settings.json:
        sys.stdout.write(json.dumps(finite(answer), indent=2, allow_nan=False) + "\n")
    return 0 if held else 1


def _peers(settings: Bench) -> tuple[tuple[str, ...], list[str]]:
    """Who is compared with; a peer that was named and is not there is an error, one that was not is left out."""
    if settings.peers == ("none",):
        return (), []
    named = settings.peers != ("all",)
    peers, left_out = installed(settings.peers if named else PEERS)
    if named and left_out:
        raise UserError("--peers: " + "\n".join(left_out), USAGE_ERROR)
    return peers, left_out


def _sections(
    settings: Bench, peers: tuple[str, ...], folder: Path, console: Console, progress: Progress
) -> Iterator[Section]:
    """Measure and show one part after the other."""
    everything = settings.what == "all"
    if everything or settings.what == "steps":
        yield _steps(settings, peers, folder, console, progress)
    if everything or settings.what == "scaling":
        yield _scaling(settings, peers, folder, console, progress)
    if everything or settings.profile:
        yield _profile(settings, console, progress)
    if everything or settings.what == "epoch":
        yield _epoch(settings, console, progress)
    if everything or settings.what == "memory":
        yield _memory(settings, console, progress)


def cells(settings: Bench) -> list[Cell]:
    """Return the cells that are asked for, in the order of the tables."""
    return [
        Cell(model=model, mode=mode, batch=batch, dtype=dtype)
        for model in settings.models
        for mode in settings.modes
        for dtype in settings.dtypes
        for batch in settings.batch_sizes
    ]


def _steps(settings: Bench, peers: tuple[str, ...], folder: Path, console: Console, progress: Progress) -> Section:
    from experiments.bench import figures

    names = ("scratch", *peers)
    measured: list[Measured] = []
    with _told(), started(entrants(names, settings.threads)) as workers:
        for cell in cells(settings):
            one = time_cell(cell, workers, rounds=settings.rounds, seconds=settings.seconds, progress=progress)
            measured.append(one)
            console.print(tables.line(one), markup=False, soft_wrap=True)
    judged = list(verdicts(measured, peers))
    speeds = tables.speeds(measured, names)
    narrow, wide = (tables.comparison(measured, peers, quartiles=quartiles) for quartiles in (False, True))
    notes = [*tables.refusals(measured), *(tables.summary(judged) if judged else ())]
    for table in (speeds, narrow) if peers else (speeds,):
        console.print()
        _show(table, console)
    for note in notes:
        console.print(Text(note), soft_wrap=True)
    lines: list[str] = []
    for table in (speeds, wide) if peers else (speeds,):
        lines += [*tables.markdown(table), ""]
    text = "\n".join([*lines, *(f"- {note}" for note in notes)])
    content = {
        "cells": [one.to_dict() for one in measured],
        "verdicts": [verdict.to_dict() for verdict in judged],
    }
    held = all(verdict.held for verdict in judged) and not any(one.refused for one in measured)
    title = "Images per second, and how many times as fast as its peers scratch is"
    return Section("steps", title, text, content, held, figures.throughput(measured, folder))


def _show(table: tables.Table, console: Console) -> None:
    console.print(Text(table.title, "italic"), soft_wrap=True)
    print_table(console, tables.for_terminal(table))


def _scaling(settings: Bench, peers: tuple[str, ...], folder: Path, console: Console, progress: Progress) -> Section:
    from experiments.bench import figures, scaling

    keywords: dict[str, Any] = {"batch": 2} if settings.quick else {}
    compared = tuple(peer for peer in peers if peer == "torch")
    with _told():
        found = scaling.measure(
            threads=settings.threads,
            rounds=settings.rounds,
            seconds=settings.seconds,
            peers=compared,
            progress=progress,
            **keywords,
        )
    table = scaling.table(found)
    _show(table, console)
    notes = [note for growth in found for note in tables.refusals(growth.measured)]
    for note in notes:
        console.print(Text(note), soft_wrap=True)
    text = "\n".join([*tables.markdown(table), "", *(f"- {note}" for note in notes)])
    drawn = figures.growth(found, folder)
    return Section("scaling", "Cost against size", text, [one.to_json() for one in found], not notes, drawn)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """A process that has failed, as a sentence."""
    try:
        yield
    except WorkerError as error:
        raise UserError(f"the measurement cannot go on: {error}") from None


def _profile(settings: Bench, console: Console, progress: Progress) -> Section:
    from experiments.bench import profile

    found = []
    for model in settings.models:
        for dtype in settings.dtypes:
            cell = Cell(model=model, mode="train", batch=settings.batch_sizes[-1], dtype=dtype)
            progress(f"{cell.name}: layer by layer")
            keywords: dict[str, Any] = {"passes": 2, "seconds": 0.01} if settings.quick else {}
            found.append(profile.measure(cell, threads=settings.threads, **keywords))
            profile.show(found[-1], console)
    text = "\n".join(profile.markdown(one) for one in found)
    return Section("profile", "Time per layer", text, [one.to_json() for one in found])


def _epoch(settings: Bench, console: Console, progress: Progress) -> Section:
    from experiments.bench import epoch

    progress("epochs of twice train, and their bare steps")
    keywords: dict[str, Any] = {"rounds": 1, "dataset": "digits"} if settings.quick else {}
    found = epoch.measure(threads=settings.threads, **keywords)
    epoch.show(found, console)
    return Section("epoch", "An epoch beside its steps", epoch.markdown(found), found.to_json(), _held(found, settings))


def _memory(settings: Bench, console: Console, progress: Progress) -> Section:
    from experiments.bench import memory

    progress("peak memory of an epoch")
    keywords: dict[str, Any] = {"repeats": 1, "dataset": "digits", "most": 512} if settings.quick else {}
    found = memory.measure(threads=settings.threads, **keywords)
    memory.show(found, console)
    title = "Peak memory of an epoch"
    return Section("memory", title, memory.markdown(found), found.to_json(), _held(found, settings))


def _held(found: Any, settings: Bench) -> bool:
    """Whether a study's target is not missed; a quick one is not judged, nor one without MNIST."""
    return settings.quick or found.met is not False


def _heading(machine: dict[str, Any], settings: Bench) -> str:
    """What was measured on, when, and how, in two sentences."""
    versions, code = machine["versions"], machine["code"]["commit"]
    at = f", commit {code[:8]}{' with changes' * bool(machine['code']['dirty'])}" if code else ""
    threads = "1 thread for each" if settings.threads == 1 else f"1 or {settings.threads} threads, whichever is faster"
    return (
        f"Measured {machine['begun'][:10]} on {machine['cores']} cores ({machine['cpu']}) with NumPy "
        f"{versions['numpy']} and PyTorch {versions['torch']}{at}: {threads}; medians and quartiles of "
        f"{settings.rounds} rounds of {settings.seconds:g} s in turns, in separate processes."
    )


def _plain(settings: Bench) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in dataclasses.asdict(settings).items()
    }
