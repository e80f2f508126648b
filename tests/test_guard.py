"""Calls into somebody else's code: whatever it does is reported, and nothing of it is left behind."""

import builtins
import contextlib
import importlib
import io
import locale
import os
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from torchref.oracle.subjects import worker
from torchref.oracle.subjects.announcing import listening
from torchref.oracle.subjects.guard import Guard, describe
from torchref.oracle.subjects.subject import Incident, Misbehaviour

LIMIT = 0.5


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PATIENCE", 0.1)


def outcome(
    function: Callable[..., Any], *args: Any, limit: float = LIMIT
) -> tuple[Misbehaviour, tuple[Incident, ...]]:
    """What is said of a function that does not answer."""
    guard = Guard(limit)
    with pytest.raises(Misbehaviour) as caught:
        guard.call("forward", function, *args)
    return caught.value, guard.incidents()


def beside(function: Callable[[], Any], **options: bool) -> list[tuple[str, bool]]:
    """What a function that answers 1 does beside it: the words, and whether it is harmless."""
    guard = Guard(LIMIT * 10, **options)

    def answering() -> int:
        function()
        return 1

    assert guard.call("forward", answering) == 1
    incidents = guard.incidents()
    assert guard.incidents() == ()
    assert {i.during for i in incidents} <= {"forward"}
    return [(i.what, i.harmless) for i in incidents]


def test_an_answer_comes_through() -> None:
    x = np.ones(3)
    guard = Guard(LIMIT)
    result = guard.call("forward", lambda a, *, function: (a, function), x, function=7)
    assert result[0] is x
    assert result[1] == 7
    assert guard.incidents() == ()


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError


def deep() -> Any:
    return deep()


def raising(error: BaseException | type[BaseException]) -> Callable[[], None]:
    def function() -> None:
        raise error

    return function


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (raising(ValueError("operands could\nnot be broadcast")), "raises ValueError: operands could not be broadcast"),
        (raising(AssertionError), "raises AssertionError"),
        (raising(KeyError("W")), "raises KeyError: 'W'"),
        (raising(RuntimeError("x" * 500)), "raises RuntimeError: " + "x" * 199 + "…"),
        (raising(Unspeakable), "raises Unspeakable"),
        (raising(KeyboardInterrupt), "raises KeyboardInterrupt"),
        (raising(GeneratorExit), "raises GeneratorExit"),
        (lambda: sys.exit(3), "raises SystemExit: 3"),
        (deep, "raises RecursionError: maximum recursion depth exceeded"),
        (lambda: np.ones(10**17), "raises MemoryError: Unable to allocate 711. PiB"),
        (lambda: input("your name? "), "raises EOFError: EOF when reading a line"),
        (raising(RuntimeError("No CUDA GPUs are available")), "needs a GPU: raises RuntimeError: No CUDA GPUs"),
        (lambda: torch.zeros(1, device="cuda:99"), "needs a GPU: raises "),
        (raising(ModuleNotFoundError("No module named 'cupy'")), "needs a GPU: raises ModuleNotFoundError"),
    ],
)
def test_whatever_is_raised_is_said_with_its_place(function: Callable[[], None], what: str) -> None:
    said, _ = outcome(function)
    assert said.what.startswith(what)
    assert "(test_guard.py:" in said.what
    assert (said.during, said.missing, said.hangs) == ("forward", False, False)


def test_what_is_not_there_yet_is_missing() -> None:
    said, _ = outcome(raising(NotImplementedError("TODO")))
    assert said.what.startswith("raises NotImplementedError: TODO (test_guard.py:")
    assert said.missing
    said, _ = outcome(lambda: None)
    assert said.what == "returns None"
    assert said.missing
    assert Guard(LIMIT).run("step", lambda: None) is None


def test_what_an_adapter_says_within_a_call_stays_as_it_is() -> None:
    given = Misbehaviour("backward", "returns a str")
    said, _ = outcome(raising(given))
    assert said is given


def test_an_error_outside_the_users_code_has_no_place() -> None:
    said, _ = outcome(np.zeros, -1)
    assert said.what == "raises ValueError: negative dimensions are not allowed"
    said, _ = outcome(importlib.import_module, "nowhere_to_be_found")
    assert said.what == "raises ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    assert describe(Unspeakable()) == "Unspeakable"


def for_ever() -> None:
    while True:
        pass


def stubborn(seconds: float) -> None:
    """Swallow every exception, as `except:` in a loop does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(BaseException):
            while time.monotonic() < end:
                pass


@pytest.mark.parametrize(
    "function", [for_ever, lambda: time.sleep(6), lambda: stubborn(6)], ids=["loop", "sleep", "stubborn"]
)
def test_what_runs_on_is_left_behind(function: Callable[[], None]) -> None:
    began = time.monotonic()
    said, _ = outcome(function)
    assert said.hangs
    assert said.what == "runs longer than 0.5 s"
    assert time.monotonic() - began < 4
    assert Guard(LIMIT * 5).call("forward", lambda: 4) == 4, "the next call has another thread"


def test_a_loop_is_stopped_and_its_thread_ends() -> None:
    stopped = threading.Event()

    def loop() -> None:
        try:
            for_ever()
        finally:
            stopped.set()

    before = {thread for thread in threading.enumerate() if thread.name == "oracle"}
    outcome(loop)
    assert stopped.wait(30)
    deadline = time.monotonic() + 30
    while {t for t in threading.enumerate() if t.name == "oracle"} - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not {t for t in threading.enumerate() if t.name == "oracle"} - before


def test_a_guarded_call_may_make_another() -> None:
    inner = Guard(LIMIT)
    assert Guard(1).call("forward", lambda: inner.call("forward", lambda: 3)) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_a_fork_there_are_new_threads() -> None:
    Guard(LIMIT).call("forward", lambda: 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that threads and forks do not go together
        child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os._exit(Guard(5).call("forward", lambda: 42))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_is_noted_and_its_child_comes_to_an_end() -> None:
    children = []

    def forking() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            children.append(os.fork())

    assert beside(forking) == [("forks the process", True)]
    assert os.waitpid(children[0], 0)[1] == 0


def test_what_comes_back_in_a_child_ends_there(monkeypatch: pytest.MonkeyPatch) -> None:
    processes, ended = iter([1, 2]), list[int]()
    monkeypatch.setattr(os, "getpid", lambda: next(processes))
    monkeypatch.setattr(os, "_exit", ended.append)
    Guard(LIMIT).call("forward", lambda: 1)
    assert ended == [0]


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_is_the_users_own() -> None:
    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)

    with pytest.raises(KeyboardInterrupt):
        Guard(5).call("forward", interrupted)


# What is done beside answering


def test_what_is_printed_is_kept_from_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    def chatty() -> int:
        print("shape", (3, 5))
        print("to stderr", file=sys.stderr, flush=True)
        assert not sys.stdout.isatty()
        return 1

    guard = Guard(LIMIT)
    for _ in range(3):
        guard.call("forward", chatty)
    guard.call("backward", lambda: [print("z" * 1_000_000)])
    assert guard.incidents() == (
        Incident(r"prints 'shape (3, 5)\nto stderr\n'", "forward", harmless=True),
        Incident(f"prints '{'z' * 60}…'", "backward", harmless=True),
    )
    assert capsys.readouterr() == ("", "")


def test_other_threads_print_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    begun, done = threading.Event(), threading.Event()

    def bar() -> None:
        begun.wait(5)
        print("50%", flush=True)
        done.set()

    other = threading.Thread(target=bar)
    other.start()
    assert beside(lambda: [begun.set(), done.wait(5), print("mine")]) == [(r"prints 'mine\n'", True)]
    other.join()
    assert screen.getvalue() == "50%\n"


def reseed() -> None:
    np.random.seed(3)  # noqa: NPY002


def other_generator() -> None:
    np.random.set_bit_generator(np.random.PCG64(1))  # type: ignore[attr-defined]


STATE: list[tuple[Callable[[], Any], str]] = [
    (reseed, "changes NumPy's global random state"),
    (lambda: np.random.rand(2), "changes NumPy's global random state"),  # noqa: NPY002
    (other_generator, "changes NumPy's global random state"),
    (random.random, "changes Python's global random state"),
    (lambda: torch.manual_seed(1), "changes torch's global random state"),
    (lambda: torch.set_default_dtype(torch.float64), "changes torch's default dtype"),
    (lambda: os.chdir("/"), "changes the working directory"),
    (lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 7), "changes Python's recursion limit"),
    (lambda: sys.setrecursionlimit(30), "changes Python's recursion limit"),
    (lambda: sys.modules.pop("numpy"), "takes numpy out of sys.modules"),
    (lambda: sys.modules.update(random=sys), "takes random out of sys.modules"),  # type: ignore[arg-type]
    (lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"), "changes the locale"),
    (lambda: np.seterr(all="raise"), "changes NumPy's handling of floating-point errors"),
    (lambda: setattr(np, "exp", np.log), "replaces numpy.exp"),
    (lambda: setattr(builtins, "abs", max), "replaces builtins.abs"),
    (lambda: delattr(np.linalg, "norm"), "replaces numpy.linalg.norm"),
]


def state() -> tuple[Any, ...]:
    return (
        repr(np.random.get_state(legacy=False)),  # noqa: NPY002
        random.getstate(),
        torch.get_rng_state().tolist(),
        torch.get_default_dtype(),
        Path.cwd(),
        sys.getrecursionlimit(),
        locale.setlocale(locale.LC_ALL),
        np.geterr(),
        np.exp,
        abs,
        np.linalg.norm,
        sys.modules["numpy"],
        sys.modules["random"],
    )


@pytest.fixture
def _plain_locale() -> Iterator[None]:
    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C")
    yield
    locale.setlocale(locale.LC_ALL, before)


@pytest.mark.usefixtures("_plain_locale")
@pytest.mark.parametrize(("function", "what"), STATE)
def test_what_is_changed_is_said_and_put_back(function: Callable[[], Any], what: str) -> None:
    before = state()
    assert beside(function) == [(what, False)]
    assert state() == before
    assert beside(lambda: None) == []


def test_it_is_put_back_after_an_error_and_after_a_time_limit_too() -> None:
    before = state()
    for function in (lambda: [reseed(), 1 / 0], lambda: [reseed(), for_ever()]):
        _, incidents = outcome(function)
        assert [i.what for i in incidents] == ["changes NumPy's global random state"]
        assert state() == before


def test_the_same_harm_is_said_once() -> None:
    guard = Guard(LIMIT)
    for seed in (1, 2):
        guard.call("forward", lambda seed=seed: [np.random.seed(seed)])  # noqa: NPY002
    assert [i.what for i in guard.incidents()] == ["changes NumPy's global random state"]


def test_another_generator_of_numpys_is_watched_too() -> None:
    legacy = np.random.get_bit_generator()  # type: ignore[attr-defined]
    other_generator()
    try:
        assert beside(lambda: None) == []
        drawn = np.random.RandomState(1)
        assert beside(lambda: np.random.rand()) == [("changes NumPy's global random state", False)]  # noqa: NPY002
        del drawn
    finally:
        np.random.set_bit_generator(legacy)  # type: ignore[attr-defined]


def test_what_draws_for_a_living_may() -> None:
    np.random.seed(0)  # noqa: NPY002
    first = np.random.rand()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    assert beside(lambda: np.random.rand(), may_draw=True) == []  # noqa: NPY002
    assert np.random.rand() != first, "what was drawn is gone"  # noqa: NPY002
    assert beside(lambda: os.chdir("/"), may_draw=True) == [("changes the working directory", False)]


def test_a_folder_that_is_gone_is_no_trouble() -> None:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
    try:
        assert beside(lambda: None) == []
        assert beside(lambda: os.chdir("/")) == [("changes the working directory", False)]
    finally:
        os.chdir(before)


def test_warnings_are_collected_once() -> None:
    def warn() -> int:
        warnings.warn("deprecated\nsince long", DeprecationWarning, stacklevel=1)
        return 1

    guard = Guard(LIMIT)
    for _ in range(3):
        guard.call("forward", warn)
    assert guard.incidents() == (Incident("warns DeprecationWarning: deprecated since long", "forward", harmless=True),)


def test_numpys_error_state_is_the_callers() -> None:
    def overflow() -> None:
        np.exp(np.float64(1e4))

    with np.errstate(all="ignore"):
        assert beside(overflow) == []
    with np.errstate(all="warn"):
        assert beside(overflow) == [("warns RuntimeWarning: overflow encountered in exp", True)]


def test_threads_left_running_are_counted() -> None:
    end = threading.Event()
    try:
        assert beside(lambda: threading.Thread(target=end.wait).start()) == [("leaves 1 threads running", True)]
    finally:
        end.set()


def test_calls_are_announced() -> None:
    heard: list[tuple[str, str]] = []
    guard = Guard(LIMIT)
    with listening(lambda *event: heard.append(event)):
        guard.call("forward", lambda: 1)
        with pytest.raises(Misbehaviour):
            guard.call("backward", lambda: None)
    guard.call("forward", lambda: 1)
    assert heard == [("call", "forward"), ("back", "forward"), ("call", "backward"), ("back", "backward")]
