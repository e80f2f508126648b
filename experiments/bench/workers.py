"""The processes of the competitors, as whoever asks them sees them."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import numpy as np

from experiments.bench.cells import Cell
from experiments.bench.competitors import Array

ROOT: Final = Path(__file__).resolve().parents[2]
THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Entrant(NamedTuple):
    """A competitor with a number of threads; prints as "torch@2"."""

    name: str
    threads: int

    def __str__(self) -> str:
        return f"{self.name}@{self.threads}"


class WorkerError(Exception):
    """A competitor could not do what it was asked, or its process has ended; says which and why."""


class Prepared(NamedTuple):
    """A competitor that is ready for a cell: what it says of itself, what its first steps came to, and when."""

    describe: dict[str, str | int]
    outcome: dict[str, Array]
    first: float


def environment(threads: int) -> dict[str, str]:
    """Return this process's environment with the threads of BLAS and OpenMP fixed, as they read them when loaded.

    Inductor compiles in the process itself: its pool of compilers would wait beside what is timed.
    """
    return {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "TORCHINDUCTOR_COMPILE_THREADS": "1"}


class Worker:
    """One process; ends with the block that it is entered for.

    Parameters
    ----------
    entrant:
        What it runs.
    words:
        The module that runs it, and what that is told first.
    """

    def __init__(self, entrant: Entrant, words: Sequence[str] = ("experiments.bench.worker",)) -> None:
        self.entrant = entrant
        self._folder = tempfile.TemporaryDirectory(prefix="twice-bench-")
        self._said = Path(self._folder.name) / "stderr"
        with self._said.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words, entrant.name, str(entrant.threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(entrant.threads),
                cwd=ROOT,  # where `experiments` is found, from wherever `twice` is called
                text=True,
                start_new_session=True,  # Ctrl-C reaches only us, and we end it
            )

    def prepare(self, cell: Cell) -> Prepared:
        """Have it build a cell, take a step and warm up; `WorkerError` if it cannot."""
        file = Path(self._folder.name) / "outcome.npz"
        answer = self._ask({"prepare": dataclasses.asdict(cell), "outcome": str(file)})
        with np.load(file) as arrays:
            return Prepared(answer["describe"], dict(arrays), answer["seconds"])

    def measure(self, seconds: float) -> float:
        """Have it repeat its step for so many seconds; return the seconds per step."""
        return float(self._ask({"measure": seconds})["seconds_per_step"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)  # a compiler that it has called too; nothing is to be saved
        self.process.communicate()
        self._folder.cleanup()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead: there will be no answer
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            said = self._said.read_text(errors="replace").strip() or "without a word"
            raise WorkerError(f"{self.entrant} ended with status {self.process.wait()}: {said.splitlines()[-1]}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.entrant}: {answer['error']}")
        return answer


@contextlib.contextmanager
def started(entrants: list[Entrant]) -> Iterator[dict[Entrant, Worker]]:
    """Start a process for each entrant, and end them all, whatever happens."""
    with contextlib.ExitStack() as stack:
        yield {entrant: stack.enter_context(Worker(entrant)) for entrant in entrants}
