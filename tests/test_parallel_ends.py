"""How the processes of a shared batch end: killed, interrupted, closed, forgotten, refused; and none is left."""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

import scratch
from scratch import batch, worker
from scratch.channel import Channel
from scratch.parallel import DataParallel
from tests import strange_losses
from tests.passes import pids, same, small

ROOT = Path(__file__).parents[1]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(OSError):
        return state.read_text().rpartition(")")[2].split()[0] != "Z"  # ended, though nobody has asked
    return not Path("/proc/self").exists()


def test_a_process_that_is_killed_or_interrupted_is_said_to_be_and_the_next_call_has_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    net, x, target = small()
    with DataParallel(net, scratch.SquaredError(), 2) as parts:

        def fails(loss: Any, error: type[BaseException], message: str) -> str:
            parts.criterion = loss
            with pytest.raises(error, match=message) as raised:
                parts.gradients(x, target)
            assert not pids(parts)
            parts.criterion = scratch.SquaredError()
            return str(raised.value)

        fails(strange_losses.Killed(), RuntimeError, "has ended, status -9$")
        expected = parts.gradients(x, target)
        fails(strange_losses.Unreadable(), TypeError, "cannot be copied into another process: invalid literal for int")
        parts.gradients(x, target)
        (pid,) = pids(parts)
        begun = time.monotonic()
        fails(strange_losses.Interrupted(), KeyboardInterrupt, "^$")
        assert time.monotonic() - begun < 30  # the other would have slept for twice as long
        assert not alive(pid)
        report = json.loads(fails(strange_losses.Reporting(), LookupError, "modules"))
        assert "numpy" in report["modules"]
        assert not {"torch", "threading.local", "pytest"} & set(report["modules"])
        assert report["session"] != os.getsid(0)  # Ctrl-C in a terminal is for this process
        assert report["threads"] == "1"
        assert same(parts.gradients(x, target), expected)
        (pid,) = pids(parts)
        os.kill(pid, signal.SIGKILL)
        parts._workers[0]._process.wait()
        fails(scratch.SquaredError(), RuntimeError, "has ended, status -9$")
        assert same(parts.gradients(x, target), expected)


def test_the_products_are_shared_out_where_the_batch_is_not() -> None:
    blas = ThreadpoolController().select(user_api="blas")
    net, x, target = small()
    wide = scratch.MLP((4, 3, 2), rng=np.random.default_rng(0))
    with blas.limit(limits=2), DataParallel(net, strange_losses.Counting(), 2) as parts:
        parts.gradients(x, target)
        assert set(parts.criterion.seen) == {1}
    with blas.limit(limits=1), DataParallel(wide, strange_losses.Counting(), 2) as parts:
        parts.gradients(x[:1, 0, :1, :4].reshape(1, 4), target[:1])
        assert not pids(parts)
        assert set(parts.criterion.seen) == {2}
        assert {library.num_threads for library in blas.lib_controllers} == {1}


def test_it_may_be_closed_twice_called_after_that_and_forgotten() -> None:
    net, x, target = small()
    parts = DataParallel(net, scratch.SquaredError(), 2)
    parts.close()
    first = parts.gradients(x, target)
    (pid,) = pids(parts)
    parts.close()
    parts.close()
    assert not alive(pid)
    assert same(parts.gradients(x, target), first)
    (pid,) = pids(parts)
    large = np.concatenate([x[:4], np.full_like(x[4:], 1e30)])  # in the other process's part alone
    with np.errstate(over="warn", invalid="ignore"), pytest.warns(RuntimeWarning, match="overflow") as caught:
        parts.gradients(large, target)
    assert all(Path(warning.filename).name == "parallel.py" for warning in caught)
    del parts
    gc.collect()
    assert not alive(pid)  # and no ResourceWarning, which would be an error here


@pytest.mark.parametrize("place", ["in a function", "in a module that is nowhere else"])
def test_a_layer_that_another_process_cannot_have_is_refused_and_none_is_left(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine(scratch.Identity):
        """A layer that only this function has."""

    net, x, target = small()
    if place != "in a function":
        monkeypatch.setitem(sys.modules, "only_here", types.ModuleType("only_here"))
        Mine.__module__, Mine.__qualname__ = "only_here", "Mine"
        sys.modules["only_here"].Mine = Mine  # type: ignore[attr-defined]
    mine = scratch.Sequential({**net.layers, "mine": Mine()})
    with DataParallel(mine, scratch.SquaredError(), 2) as parts:
        with pytest.raises(TypeError, match=r"cannot be copied into another process: .*(Mine|only_here).*; define "):
            parts.gradients(x, target)
        assert not pids(parts)
    with DataParallel(mine, scratch.SquaredError(), 1) as parts:
        parts.gradients(x, target)


def test_files_beside_which_it_is_started_are_not_taken_for_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A current folder from which this process imports nothing, and the other one should not."""
    (tmp_path / "copy.py").write_text("raise ImportError('of the wrong copy')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path] + [""])
    net, x, target = small()
    with DataParallel(net, scratch.SquaredError(), 2) as parts:
        assert parts.gradients(x, target).output.shape == (8, 2)


SCRIPT = """
import time
import numpy as np
import scratch
from scratch.parallel import DataParallel

class Mine(scratch.Identity):
    "A layer that only this script has."

rng = np.random.default_rng(8)
layers = {"conv": scratch.Conv2d(1, 2, 3, rng=rng), "flat": scratch.Flatten(), "top": scratch.Linear(72, 2, rng=rng)}
x, target = rng.standard_normal((8, 1, 8, 8)).astype(np.float32), rng.standard_normal((8, 2)).astype(np.float32)
try:
    DataParallel(scratch.Sequential({**layers, "mine": Mine()}), scratch.SquaredError(), 2).gradients(x, target)
except TypeError as error:
    print(error, flush=True)
parts = DataParallel(scratch.Sequential(layers), scratch.SquaredError(), 2)
parts.gradients(x, target)
print(parts._workers[0]._process.pid, flush=True)
time.sleep(60)
"""


def test_a_process_ends_with_the_one_that_made_it_even_if_that_is_killed() -> None:
    made = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert made.stdout is not None
    refusal, pid = made.stdout.readline(), int(made.stdout.readline())
    assert "cannot be copied into another process: Can't get attribute 'Mine'" in refusal
    assert "define their classes in a module that can be imported, or use threads=1" in refusal
    assert alive(pid)
    made.kill()
    assert made.stderr is not None
    ended, _, _ = select.select([made.stderr], [], [], 60)  # the other process holds its other end, too
    assert ended
    _, complaints = made.communicate()
    deadline = time.monotonic() + 60
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert complaints == ""


FORKING = (
    SCRIPT.partition("try:")[0]
    + """
import os
parts = DataParallel(scratch.Sequential(layers), scratch.SquaredError(), 2)
first = parts.gradients(x, target)
pid = parts._workers[0]._process.pid

def again():
    found = parts.gradients(x, target)
    return found.value == first.value and all((grad == first.grads[name]).all() for name, grad in found.grads.items())

child = os.fork()
if not child:
    fine = again() and parts._workers[0]._process.pid != pid
    parts.close()
    os._exit(not fine)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), again(), parts._workers[0]._process.pid == pid)
"""
)


def test_after_a_fork_each_has_processes_of_its_own() -> None:
    forked = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, cwd=ROOT, text=True, timeout=60)
    assert (forked.stdout, forked.stderr) == ("0 True True\n", "")


def test_a_process_is_ended_by_the_one_that_started_it_alone() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        worker._end(Channel(ours), None, os.getpid() + 1)  # type: ignore[arg-type]  # which it must not touch
        assert theirs.recv(1) == b""


def test_where_sockets_carry_no_descriptors_it_does_without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("socket.send_fds")
    net, x, target = small()
    with DataParallel(net, scratch.SquaredError(), 2) as parts:
        assert same(parts.gradients(x, target), batch.gradients(net, scratch.SquaredError(), x, target))
        assert not pids(parts)
