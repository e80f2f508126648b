"""What was measured: every round of every competitor, and what follows from it."""

import dataclasses
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from experiments import manifest
from experiments.bench.agreement import Difference
from experiments.bench.alternating import Spread, ratios, spread
from experiments.bench.cells import Cell, met, target

OPTIONAL: Final = ("jax", "mygrad", "threadpoolctl")
"""Packages whose versions matter here, besides those of every run's manifest."""


@dataclasses.dataclass(frozen=True)
class Timing:
    """One competitor in one cell with one number of threads.

    Parameters
    ----------
    name, threads:
        Who, and how many threads it was allowed.
    rounds:
        Seconds per step in each round.
    first:
        Seconds that the first step took, compilation included; it is part of no round.
    difference:
        How far the outcome of the first steps was from that of `scratch` with one thread, where it came nearest to what
        is allowed.
    describe:
        What the competitor says of itself.
    """

    name: str
    threads: int
    rounds: tuple[float, ...]
    first: float
    difference: Difference
    describe: Mapping[str, str | int]

    @property
    def seconds(self) -> Spread:
        """Seconds per step."""
        return spread(self.rounds)


@dataclasses.dataclass(frozen=True)
class Measured:
    """One cell.

    Parameters
    ----------
    cell:
        What was computed.
    timings:
        Of all competitors that took part, with each number of threads.
    refused:
        Why others did not, by their name with the number of threads.
    """

    cell: Cell
    timings: tuple[Timing, ...]
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def best(self, name: str) -> Timing | None:
        """Return a competitor's timing with the number of threads that made it faster; None if it has none."""
        own = [timing for timing in self.timings if timing.name == name]
        return min(own, key=lambda timing: timing.seconds.median) if own else None

    def images_per_second(self, name: str) -> float | None:
        """Return a competitor's throughput at its best."""
        best = self.best(name)
        return None if best is None else self.cell.batch / best.seconds.median

    def ratio(self, peer: str) -> Spread | None:
        """Return how many times as fast as a peer `scratch` is: ratio of the medians, and quartiles of the rounds'.

        Each at its best number of threads.
        """
        own, other = self.best("scratch"), self.best(peer)
        if own is None or other is None:
            return None
        of_rounds = spread(ratios(other.rounds, own.rounds))
        return of_rounds._replace(median=other.seconds.median / own.seconds.median)

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON's types, with what follows from the rounds."""
        peers = dict.fromkeys(timing.name for timing in self.timings if timing.name != "scratch")
        found = {peer: ratio._asdict() for peer in peers if (ratio := self.ratio(peer)) is not None}
        timings = [
            {
                **dataclasses.asdict(timing),
                "seconds": timing.seconds._asdict(),
                "difference": timing.difference._asdict(),
            }
            for timing in self.timings
        ]
        return {
            "cell": dataclasses.asdict(self.cell),
            "timings": timings,
            "best_threads": {name: best.threads for name in ("scratch", *peers) if (best := self.best(name))},
            "ratio": found,
            "refused": dict(self.refused),
        }


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One target, and whether it was reached.

    Parameters
    ----------
    cell, peer:
        Where, and against whom.
    demanded:
        The ratio of speeds scratch : peer that is asked for.
    ratio:
        The one that was measured; None where one of the two was refused, which is no success.
    """

    cell: Cell
    peer: str
    demanded: float
    ratio: Spread | None

    @property
    def held(self) -> bool:
        """Whether the median ratio reaches what is demanded."""
        return self.ratio is not None and met(self.ratio.median, self.demanded)

    def to_dict(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        ratio = None if self.ratio is None else self.ratio._asdict()
        return {**dataclasses.asdict(self), "ratio": ratio, "held": self.held}


def verdicts(measured: Sequence[Measured], peers: Sequence[str]) -> Iterator[Verdict]:
    """Hold every cell against its targets for these peers."""
    for one in measured:
        for peer in peers:
            demanded = target(one.cell, peer)
            if demanded is not None:
                yield Verdict(one.cell, peer, demanded, one.ratio(peer))


def machine() -> dict[str, Any]:
    """Describe what the numbers were measured on, and with which command."""
    return {
        "cpu": manifest.cpu_name(),
        "cores": os.cpu_count(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
        "versions": {"python": platform.python_version(), **manifest.versions(), **_optional_versions()},
        "code": manifest.commit(Path(__file__).resolve().parents[2]),
        "argv": list(sys.argv),
        "begun": manifest.now(),
    }


def _optional_versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in OPTIONAL:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found
