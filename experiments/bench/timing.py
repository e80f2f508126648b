"""One cell timed for all who take part: built, compared with `scratch`, then measured in turns."""

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from experiments.bench.agreement import Difference, DisagreementError, check
from experiments.bench.alternating import PAUSE, alternate
from experiments.bench.cells import Cell
from experiments.bench.competitors import COMPETITORS
from experiments.bench.results import Measured, Timing
from experiments.bench.workers import Entrant, Prepared, Worker, WorkerError

HOW_TO_INSTALL: Final = "pip install 'twice-nn[bench]'"


def installed(names: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Return which competitors can be run here, and a sentence for each that cannot."""
    absent = [name for name in names if importlib.util.find_spec(COMPETITORS[name].needs) is None]
    sentences = [
        f"{name} is left out: {COMPETITORS[name].needs} is not installed; {HOW_TO_INSTALL} brings it" for name in absent
    ]
    return tuple(name for name in names if name not in absent), sentences


def entrants(names: Sequence[str], threads: int) -> list[Entrant]:
    """Return each competitor with one thread and with all: which is faster depends on the cell."""
    return [Entrant(name, count) for name in names for count in sorted({1, threads})]


def time_cell(
    cell: Cell,
    workers: Mapping[Entrant, Worker],
    *,
    rounds: int,
    seconds: float,
    progress: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Time one cell.

    Parameters
    ----------
    cell:
        What is computed.
    workers:
        Who takes part, `scratch` among them; those that cannot compute this network are passed over.
    rounds:
        How often each is measured.
    seconds:
        How long each time.
    progress:
        Told what is going on.

    Returns
    -------
    Measured
        A competitor that raises, whose process ends, or whose first steps come to something else than that of
        `scratch`, is refused: a comparison of different computations would say nothing.

    Raises
    ------
    WorkerError
        If `scratch` itself fails.
    """
    ready: dict[Entrant, tuple[Prepared, Difference]] = {}
    refused: dict[str, str] = {}
    reference: Prepared | None = None
    for entrant in sorted(workers, key=lambda entrant: entrant.name != "scratch"):
        if cell.model not in COMPETITORS[entrant.name].models:
            continue
        progress(f"{cell.name}: {entrant} gets ready")
        try:
            prepared = workers[entrant].prepare(cell)
            reference = reference or prepared
            ready[entrant] = prepared, check(cell, reference.outcome, prepared.outcome)
        except (WorkerError, DisagreementError) as error:
            if reference is None:
                raise
            refused[str(entrant)] = str(error)
    progress(f"{cell.name}: {', '.join(map(str, ready))} in turns")
    measures = {entrant: _measure(entrant, workers[entrant], seconds, refused) for entrant in ready}
    taken = alternate(measures, rounds, PAUSE)
    timings = [
        Timing(entrant.name, entrant.threads, taken[entrant], prepared.first, difference, prepared.describe)
        for entrant, (prepared, difference) in ready.items()
        if str(entrant) not in refused
    ]
    return Measured(cell, tuple(timings), refused)


def _measure(entrant: Entrant, worker: Worker, seconds: float, refused: dict[str, str]) -> Callable[[], float]:
    """A turn; whoever fails in it, other than `scratch`, is refused, and the others go on."""

    def turn() -> float:
        try:
            return worker.measure(seconds)
        except WorkerError as error:
            if entrant.name == "scratch":
                raise
            refused[str(entrant)] = str(error)
            return math.nan

    return turn
