"""`twice bench`: the parts that are asked for, one after the other, recorded and published."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments import manifest
from experiments.atomic import write_text
from experiments.bench import gains, publishing
from experiments.bench.competitors import PEERS
from experiments.bench.publishing import Section
from experiments.bench.results import machine
from experiments.bench.sections import PARTS, Sitting, asked_for
from experiments.bench.timing import installed
from experiments.bench_command import Bench
from experiments.errors import USAGE_ERROR, UserError
from experiments.marks import around_the_marks
from experiments.records import finite
from experiments.terminal import Screen, screen


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
    page = publishing.IDEAS if settings.what == "ideas" else publishing.RESULTS
    if settings.publish is not None:
        around_the_marks(settings.publish, page)  # now: not after twenty minutes
    peers, left_out = _peers(settings)
    folder = settings.runs_dir / f"bench{'-quick' * settings.quick}"
    folder.mkdir(parents=True, exist_ok=True)
    record = {"machine": machine(), "settings": finite(_plain(settings)), "left_out": left_out}
    heading = "\n".join([_heading(record["machine"], settings), *(f"{sentence}." for sentence in left_out)])
    console.print(heading, markup=False, soft_wrap=True)
    sections: list[Section] = []
    with Console(stderr=True).status("starting …") as status:
        sitting = Sitting(settings, peers, folder, console, status.update)
        for name in asked_for(settings):
            sections.append(PARTS[name](sitting))
            console.print()
            content = {part.name: part.content for part in sections}
            held = all(part.held for part in sections)
            answer = {**record, **content, "ended": manifest.now(), "exit_code": int(not held)}
            # Each time: a measurement that is broken off after twenty minutes has measured something.
            write_text(folder / "bench.json", json.dumps(finite(answer), indent=2, allow_nan=False) + "\n")
            write_text(folder / "bench.md", publishing.document(heading, sections, "."))
    if settings.publish is not None:
        for written in (
            [publishing.write_part(heading, sections, settings.publish, page)]
            if page is publishing.IDEAS
            else publishing.publish(heading, sections, folder, settings.publish)
        ):
            console.print(f"published {written}", markup=False, soft_wrap=True)
    console.print(f"tables and every round   {folder}", markup=False, soft_wrap=True)
    if settings.json:
        sys.stdout.write(json.dumps(finite(answer), indent=2, allow_nan=False) + "\n")
    return 0 if held else 1


def _peers(settings: Bench) -> tuple[tuple[str, ...], list[str]]:
    """Who is compared with; a peer that was named and is not there is an error, one that was not is left out."""
    if settings.peers == ("none",) or settings.what == "ideas":
        return (), []
    named = settings.peers != ("all",)
    peers, left_out = installed(settings.peers if named else PEERS)
    if named and left_out:
        raise UserError("--peers: " + "\n".join(left_out), USAGE_ERROR)
    return peers, left_out


def _heading(machine: dict[str, Any], settings: Bench) -> str:
    """What was measured on, when, and how, in two sentences."""
    versions, code = machine["versions"], machine["code"]["commit"]
    at = f", commit {code[:8]}{' with changes' * bool(machine['code']['dirty'])}" if code else ""
    threads = "1 thread for each" if settings.threads == 1 else f"1 or {settings.threads} threads, whichever is faster"
    seconds, apart = settings.seconds, ", in separate processes"
    if settings.what == "ideas":
        threads, seconds, apart = "1 thread but where processes are compared", gains.SHARE * seconds, ""
    return (
        f"Measured {machine['begun'][:10]} on {machine['cores']} cores ({machine['cpu']}) with NumPy "
        f"{versions['numpy']} and PyTorch {versions['torch']}{at}: {threads}; medians and quartiles of "
        f"{settings.rounds} rounds of {seconds:g} s in turns{apart}."
    )


def _plain(settings: Bench) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in dataclasses.asdict(settings).items()
    }
