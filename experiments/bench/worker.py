"""One competitor in a process of its own: `python -m experiments.bench.worker NAME THREADS`.

It reads requests and writes answers, one JSON object to a line:

    {"prepare": {…a cell…}, "outcome": "FILE.npz"}   →  {"describe": {…}, "seconds": 0.01}
    {"measure": 0.3}                                 →  {"seconds_per_step": 0.001, "steps": 300}

`prepare` writes what one step came to into FILE, then warms up. What is raised is answered as {"error": "…"}. Between
requests the process waits in a read and takes no processor time; it ends when its input is closed, as it is when
whoever asked has died.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TextIO

import numpy as np

from experiments.bench import competitors
from experiments.bench.cells import Cell

CHECKED: Final = 4
"""Steps before the outcome is held against `scratch`: by then what is recorded, compiled and lent is what is timed."""

WARM_UP: Final = 0.1
"""Seconds of steps before the first measure: caches fill, memory is taken, the processor's clock goes up."""
_BURST: Final = 0.01
"""Seconds of steps between two looks at the clock."""


def measure(step: Callable[[], object], seconds: float, burst: int) -> tuple[float, int]:
    """Repeat a step for at least so many seconds.

    Parameters
    ----------
    step:
        What is timed.
    seconds:
        How long.
    burst:
        Steps between two looks at the clock.

    Returns
    -------
    float, int
        Seconds per step, and the number of steps.
    """
    steps = 0
    begun = time.perf_counter()
    while True:
        for _ in range(burst):
            step()
        steps += burst
        elapsed = time.perf_counter() - begun
        if elapsed >= seconds:
            return elapsed / steps, steps


@dataclasses.dataclass
class Server:
    """What answers the requests.

    Parameters
    ----------
    kind:
        The competitor's class.
    threads:
        What each of its objects is given.
    """

    kind: type[competitors.Steps]
    threads: int
    steps: competitors.Steps | None = None
    burst: int = 1

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request."""
        if "prepare" in request:
            return self.prepare(Cell(**request["prepare"]), request["outcome"])
        if self.steps is None:
            raise RuntimeError("asked to measure before a cell was prepared")
        seconds, steps = measure(self.steps.step, request["measure"], self.burst)
        return {"seconds_per_step": seconds, "steps": steps}

    def prepare(self, cell: Cell, outcome: str) -> dict[str, Any]:
        """Build a cell in the place of the last one, write what its first steps came to, and warm up."""
        self.close()
        self.steps = self.kind(cell, self.threads)
        begun = time.perf_counter()
        self.steps.step()
        first = time.perf_counter() - begun
        for _ in range(CHECKED - 1):
            self.steps.step()
        np.savez(outcome, **self.steps.outcome())  # type: ignore[arg-type]  # typed as if a name could be allow_pickle
        per_step, _ = measure(self.steps.step, WARM_UP, 1)
        self.burst = max(1, int(_BURST / per_step))
        return {"describe": self.steps.describe(), "seconds": first}

    def close(self) -> None:
        """Give back what the last cell held."""
        if self.steps is not None:
            self.steps.close()
            self.steps = None


def serve(server: Server, requests: Iterator[str], answers: TextIO) -> None:
    """Answer each request until there are no more."""
    for line in requests:
        try:
            answer = server.answer(json.loads(line))
        except Exception as error:  # of a library that nobody here wrote: the run goes on without it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
    server.close()


def main() -> None:
    """Serve this process's input; whatever else is printed goes to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    name, threads = sys.argv[1:]
    serve(Server(competitors.load(name), int(threads)), iter(sys.stdin.readline, ""), answers)


if __name__ == "__main__":
    main()
