"""One experiment from its name to its outcome in a folder: run, judged, recorded."""

import contextlib
import dataclasses
import importlib
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any, TypedDict

from experiments import manifest
from experiments.atomic import write_text
from experiments.errors import UserError
from experiments.lecture.catalogue import Entry
from experiments.lecture.lab import Claim, Lab
from experiments.lecture.lab.lab import Drawing, Table
from experiments.lock import exclusive
from experiments.records import finite, parse, read_text
from experiments.tensorboard import quiet_writer_threads
from experiments.threads import limited_threads


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What an experiment came to.

    Parameters
    ----------
    name, heading, english:
        Of its entry in the catalogue.
    quick, seed:
        How it was run.
    seconds:
        How long it took.
    claims, tables, drawings:
        In the order in which they were made.
    error:
        What was raised instead; then there is nothing else.
    """

    name: str
    heading: str
    english: str
    quick: bool
    seed: int
    seconds: float
    claims: tuple[Claim, ...]
    tables: tuple[Table, ...]
    drawings: tuple[Drawing, ...]
    error: str = ""

    @property
    def held(self) -> bool:
        """Whether every claim held; an experiment without claims, as one that failed, has shown nothing."""
        return bool(self.claims) and all(claim.held for claim in self.claims)

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON's types; NaN and infinity as None."""
        values: dict[str, Any] = finite(dataclasses.asdict(self))
        return {**values, "held": self.held}


class _Claim(TypedDict):
    statement: str
    measured: str
    held: bool
    numbers: dict[str, float | None]  # NaN and infinity are null


class _Table(TypedDict):
    title: str
    headings: list[str]
    rows: list[list[str]]


class _Drawing(TypedDict):
    name: str
    caption: str
    alt: str


class _Record(TypedDict):
    name: str
    heading: str
    english: str
    quick: bool
    seed: int
    seconds: float
    claims: list[_Claim]
    tables: list[_Table]
    drawings: list[_Drawing]


def lecture_folder(runs_dir: Path, *, quick: bool, seed: int) -> Path:
    """Return the folder of all experiments that are run in this way."""
    return runs_dir / f"lecture{'-quick' * quick}{f'-s{seed}' * bool(seed)}"


def run(entry: Entry, runs_dir: Path, *, quick: bool = False, seed: int = 0, jobs: int = 1) -> Outcome:
    """Run one experiment; its folder takes the place of an earlier one when it is complete, and not before.

    Parameters
    ----------
    entry:
        From the catalogue.
    runs_dir:
        Its folder is made in `lecture_folder`.
    quick:
        The reduced version, as CI runs it.
    seed:
        What its chance comes from.
    jobs:
        Processes for work over seeds.

    Raises
    ------
    UserError
        If the folder is being written by another process, or holds something that no experiment has written.
    """
    module = importlib.import_module(entry.module)
    config = module.QUICK if quick else module.FULL
    parent = lecture_folder(runs_dir, quick=quick, seed=seed)
    folder, partial = parent / entry.name, parent / f".{entry.name}.partial"
    if folder.is_symlink() or (folder.exists() and not (folder / "verdict.json").is_file()):
        raise UserError(f"{folder} is there and is no experiment of the lecture: a folder with a verdict.json")
    with exclusive(partial, "runs this experiment"), quiet_writer_threads():
        for old in partial.iterdir():
            if old.name != "train.lock":
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        lab = Lab(partial, seed=seed, jobs=jobs)
        with contextlib.closing(lab), limited_threads(1):
            lab.hparams({"experiment": entry.name, "seed": seed, **dataclasses.asdict(config)})
            begun = time.perf_counter()
            claims = tuple(module.run(lab, config))
            seconds = time.perf_counter() - begun
            outcome = Outcome(
                *(entry.name, entry.heading, entry.english, quick, seed, seconds),
                *(claims, tuple(lab.tables), tuple(lab.drawings)),
            )
            lab.board("summary").text("verdict", _markdown(outcome), 0)
        record = {**outcome.to_dict(), "config": finite(dataclasses.asdict(config)), "made_with": _made_with()}
        write_text(partial / "verdict.json", json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False) + "\n")
        _replace(folder, partial)
    return outcome


def _replace(folder: Path, new: Path) -> None:
    """Put a new folder in the place of an old one: at every moment one of the two is there, whole."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    (folder / "train.lock").unlink()


def read(folder: Path) -> Outcome:
    """Read the outcome of an experiment's folder; `UserError` if it is damaged."""
    place = folder / "verdict.json"
    record = parse(read_text(place), _Record, str(place))
    if record["name"] != folder.name:
        raise UserError(f"{place} is damaged: it is of {record['name']!r}")
    return Outcome(
        **{name: record[name] for name in ("name", "heading", "english", "quick", "seed", "seconds")},
        claims=tuple(Claim(**_with_numbers(claim)) for claim in record["claims"]),
        tables=tuple(
            Table(table["title"], tuple(table["headings"]), tuple(map(tuple, table["rows"])))
            for table in record["tables"]
        ),
        drawings=tuple(Drawing(**drawing) for drawing in record["drawings"]),
    )


def _with_numbers(claim: _Claim) -> dict[str, Any]:
    """A claim as JSON has it, where NaN and infinity are null."""
    numbers = {name: float("nan") if value is None else value for name, value in claim["numbers"].items()}
    return {**claim, "numbers": numbers}


def _markdown(outcome: Outcome) -> str:
    lines = [f"- **{'held' if c.held else 'FAILED'}**: {c.statement}  \n  {c.measured}" for c in outcome.claims]
    return "\n".join(lines)


def _made_with() -> dict[str, Any]:
    return {
        "code": manifest.commit(Path(__file__).resolve().parents[2]),
        "versions": manifest.versions(),
        "cpu": manifest.cpu_name(),
        "argv": list(sys.argv),
        "ended": manifest.now(),
    }
