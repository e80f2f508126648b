"""The processes of `twice bench`: what they answer, that they wait without burning time, and that none is left."""

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments.bench import networks, worker
from experiments.bench.alternating import PAUSE
from experiments.bench.cells import Cell
from experiments.bench.competitors import COMPETITORS, scratch_steps
from experiments.bench.timing import time_cell
from experiments.bench.workers import ROOT, THREAD_VARIABLES, Entrant, Worker, WorkerError, environment, started
from experiments.cli import main

CELL = Cell(model="mlp", mode="train", batch=4)
SCRATCH = Entrant("scratch", 1)
WAITING = """
import time
from experiments.bench.workers import Entrant, started
with started([Entrant("scratch", 1), Entrant("scratch", 2)]) as workers:
    print(*(worker.process.pid for worker in workers.values()), flush=True)
    time.sleep(60)
"""


def ticks(usage: Path) -> int:
    """Hundredths of a second of processor time."""
    return sum(map(int, usage.read_text().rpartition(")")[2].split()[11:13]))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()  # a system without /proc, or it has just ended
    return state != "Z"  # ended, though nobody has asked


@pytest.mark.parametrize("threads", [1, 2])
def test_a_worker_does_what_it_is_asked_and_waits_without_burning_time(threads: int) -> None:
    cell = dataclasses.replace(CELL, batch=64)  # large enough for BLAS to share it out
    with Worker(Entrant("scratch", threads)) as one:
        with pytest.raises(
            WorkerError, match=f"scratch@{threads}: RuntimeError: asked to measure before a cell was prepared"
        ):
            one.measure(0.01)
        prepared = one.prepare(cell)
        expected = scratch_steps.Steps(cell, threads)
        for _ in range(worker.CHECKED):
            expected.step()
        expected.close()
        assert prepared.outcome.keys() == {"loss", *networks.initial_state(cell)}
        for name, value in expected.outcome().items():
            assert np.allclose(prepared.outcome[name], value, rtol=1e-5, atol=1e-6), name
        assert prepared.describe["threads"] == threads
        assert prepared.first > 0
        assert 0 < one.measure(0.02) < 1
        pid = one.process.pid
        usage = Path(f"/proc/{pid}/stat")
        if usage.exists():
            time.sleep(PAUSE)
            before = ticks(usage)
            time.sleep(0.2)
            assert ticks(usage) - before <= 1
    assert not alive(pid)


def test_one_that_is_busy_is_ended_at_once() -> None:
    with Worker(SCRATCH) as one:
        one.prepare(CELL)
        assert one.process.stdin is not None
        one.process.stdin.write('{"measure": 3600}\n')
        one.process.stdin.flush()
        begun = time.monotonic()
    assert time.monotonic() - begun < 60
    assert one.process.returncode == -signal.SIGKILL


def test_one_that_dies_says_so_and_takes_nobody_along() -> None:
    with started([SCRATCH]) as workers:
        one = workers[SCRATCH]
        os.kill(one.process.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="scratch@1 ended with status -9: without a word"):
            one.prepare(CELL)


def test_one_that_cannot_start_says_why() -> None:
    absent = Entrant("nobody", 1)
    with started([absent]) as workers, pytest.raises(WorkerError, match="nobody@1 ended with status 1: KeyError"):
        workers[absent].prepare(CELL)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_however_the_command_ends(number: signal.Signals) -> None:
    asking = subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, text=True
    )
    assert asking.stdout is not None
    pids = [int(pid) for pid in asking.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(alive, pids))
    asking.send_signal(number)
    asking.communicate()
    assert asking.returncode == -number
    deadline = time.monotonic() + 60
    while left := list(filter(alive, pids)):
        assert time.monotonic() < deadline, f"processes {left} are left"
        time.sleep(0.02)


def test_its_environment_fixes_the_threads_before_anything_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert {environment(2)[name] for name in THREAD_VARIABLES} == {"2"}


class Raising(scratch_steps.Steps):
    """One that cannot do float64."""

    def __init__(self, cell: Cell, threads: int) -> None:
        if cell.dtype == "float64":
            raise TypeError("no float64 here")
        super().__init__(cell, threads)
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_what_a_library_raises_is_an_answer_and_the_next_request_is_served(tmp_path: Path) -> None:
    file = str(tmp_path / "outcome.npz")
    cell = {"model": "mlp", "mode": "infer", "batch": 1}
    requests = [{"prepare": {**cell, "dtype": "float64"}, "outcome": file}, {"prepare": cell, "outcome": file}]
    requests += [{"measure": 0.001}]
    answers = io.StringIO()
    server = worker.Server(Raising, 1)  # type: ignore[arg-type]
    lines = iter([f"{json.dumps(request)}\n" for request in requests])
    seen: list[Raising] = []

    def watched() -> object:
        for line in lines:
            yield line
            if isinstance(server.steps, Raising):
                seen.append(server.steps)

    worker.serve(server, watched(), answers)  # type: ignore[arg-type]
    refused, prepared, measured = map(json.loads, answers.getvalue().splitlines())
    assert refused == {"error": "TypeError: no float64 here"}
    assert prepared["seconds"] > 0
    assert measured["steps"] >= 1
    assert seen[-1].closed


def test_a_cell_is_timed_from_its_processes() -> None:
    with started([SCRATCH]) as workers:
        said: list[str] = []
        one = time_cell(CELL, workers, rounds=2, seconds=0.005, progress=said.append)
    (timing,) = one.timings
    assert (timing.name, timing.threads, len(timing.rounds)) == ("scratch", 1, 2)
    assert timing.difference.apart == 0
    assert "scratch@1 gets ready" in said[0]


@pytest.mark.slow
def test_quick_runs_for_everybody(tmp_path: Path) -> None:
    peers = [name for name in COMPETITORS if name != "scratch"]
    assert main(["bench", "--quick", "--what", "all", "--runs-dir", str(tmp_path), "--peers", *peers]) == 0
    record = json.loads((tmp_path / "bench-quick" / "bench.json").read_text())
    assert {timing["name"] for cell in record["steps"]["cells"] for timing in cell["timings"]} == set(COMPETITORS)
