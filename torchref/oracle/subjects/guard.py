"""Calls into somebody else's code: whatever it does, an answer, a `Misbehaviour` or an `Incident` comes of it."""

import os
import re
import sys
import sysconfig
import threading
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from torchref.oracle.subjects.announcing import announce
from torchref.oracle.subjects.streams import Streams
from torchref.oracle.subjects.subject import Incident, Misbehaviour
from torchref.oracle.subjects.watch import Watch, forked
from torchref.oracle.subjects.worker import Overtime, call_within

TIME_LIMIT = 10.0
"""Seconds that one call may take."""
LONGEST_TEXT = 200
"""Characters of an exception's text that are shown."""
PRINTED = 60
"""Characters of printed text that are shown."""

GPU = re.compile(r"CUDA|cuDNN|cupy|\bGPUs?\b|libcud|nvidia|\bHIP\b", re.IGNORECASE)
"""What errors speak of where a GPU is missing."""

FOREIGN = (
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    str(Path(__file__).parents[2]),
    "<frozen",
)
"""Folders of code that is not the user's: Python's, installed packages, and ours; and what is built into Python."""


class Guard:
    """Runs calls into somebody else's code, each with a time limit in a thread of its own.

    Parameters
    ----------
    time_limit:
        Seconds for each call.
    may_draw:
        Whether to draw from the global random generators is part of the work, as it is for an initialiser or dropout;
        then they are not watched.
    """

    def __init__(self, time_limit: float = TIME_LIMIT, *, may_draw: bool = False) -> None:
        self.time_limit = time_limit
        self._may_draw = may_draw
        self._incidents: list[Incident] = []
        self._said: set[tuple[Any, ...]] = set()

    def call(self, during: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """The result of `function(*args, **kwargs)`, which must not be None.

        Raises
        ------
        Misbehaviour
            If it raises anything, takes too long, or returns None (then it is `missing`).
        """
        result = self.run(during, function, *args, **kwargs)
        if result is None:
            raise Misbehaviour(during, "returns None", missing=True)
        return result

    def run(self, during: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """The result of `function(*args, **kwargs)`; None too, as what works in place returns it.

        Raises
        ------
        Misbehaviour
            If it raises anything or takes too long.
        """
        settings: list[str] = []

        def work() -> Any:
            errors, depth, process = np.geterr(), sys.getrecursionlimit(), os.getpid()  # errors are the thread's own
            try:
                return function(*args, **kwargs)
            finally:
                if process != os.getpid():
                    os._exit(0)
                if depth != sys.getrecursionlimit():  # the thread that waits may be too deep for it to do anything
                    sys.setrecursionlimit(depth)
                    settings.append("changes Python's recursion limit")
                settings.extend(["changes NumPy's handling of floating-point errors"] * (np.geterr() != errors))

        threads, forks = set(threading.enumerate()), len(forked)
        watch = Watch(random=not self._may_draw)
        announce("call", during)
        try:
            with warnings.catch_warnings(record=True) as warned, Streams() as streams:
                warnings.simplefilter("always")
                return call_within(self.time_limit, work)
        except Overtime:
            raise Misbehaviour(during, f"runs longer than {self.time_limit:g} s", hangs=True) from None
        except KeyboardInterrupt as error:
            if not _own(error):  # the user's Ctrl-C, not the candidate's
                raise
            raise _misbehaviour(during, error) from error
        except BaseException as error:
            raise _misbehaviour(during, error) from error
        finally:
            announce("back", during)
            for change in [*settings, *watch.restore()]:
                self._note(during, change)
            if text := streams.text:
                self._note(during, f"prints {_shown(text)}", "prints", harmless=True)
            for warning in warned:
                said = f"warns {warning.category.__name__}: {_cut(str(warning.message))}"
                self._note(during, said, warning.category, warning.filename, warning.lineno, harmless=True)
            if left := [t for t in threading.enumerate() if t not in threads and t.name != "oracle"]:
                self._note(during, f"leaves {len(left)} threads running", "threads", harmless=True)
            if len(forked) > forks:
                self._note(during, "forks the process", "forks", harmless=True)

    def incidents(self) -> tuple[Incident, ...]:
        """What happened beside the answers since the last time this was asked."""
        drained, self._incidents = tuple(self._incidents), []
        return drained

    def _note(self, during: str, what: str, *once: Any, harmless: bool = False) -> None:
        """Keep an incident; of what is harmless, the first of its sort only."""
        if harmless:
            if (during, *once) in self._said:
                return
            self._said.add((during, *once))
        incident = Incident(what, during, harmless)
        if incident not in self._incidents:
            self._incidents.append(incident)


def _own(error: BaseException) -> bool:
    """Whether an exception came out of the candidate's thread rather than out of the wait for it."""
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(code.co_name == "work" and code.co_filename == __file__ for code in codes)


def _misbehaviour(during: str, error: BaseException) -> Misbehaviour:
    if isinstance(error, Misbehaviour):  # said by an adapter within the call
        return error
    place = where(error)
    said = describe(error) + (f" ({place})" if place else "")
    what = f"needs a GPU: raises {said}" if GPU.search(said) else f"raises {said}"
    return Misbehaviour(during, what, missing=isinstance(error, NotImplementedError))


def blame(during: str, error: BaseException) -> Misbehaviour | None:
    """What the candidate's objects did where they were not called, as by a property; None if the error is not theirs.

    To be asked where the error was caught: frames further out do not count.
    """
    return _misbehaviour(during, error) if isinstance(error, Misbehaviour) or where(error) else None


def describe(error: BaseException) -> str:
    """Type and text of an exception in one line: "ZeroDivisionError: division by zero"."""
    try:
        text = _cut(str(error))
    except BaseException:  # its own __str__ raises
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def where(error: BaseException) -> str:
    """File and line of the innermost frame of the user's own code: "homework.py:12"; "" if there is none."""
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [(name, line) for name, line in frames if not name.startswith(FOREIGN)]
    return "" if not own else f"{Path(own[-1][0]).name}:{own[-1][1]}"


def _cut(text: str, longest: int = LONGEST_TEXT) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _shown(text: str) -> str:
    return repr(text if len(text) <= PRINTED else f"{text[:PRINTED]}…")
