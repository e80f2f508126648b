"""A thread in which somebody else's code runs, so that it can be left behind if it does not come back."""

import contextvars
import ctypes
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 0.25
"""Seconds in which a thread that was told to stop may do so; then it is abandoned."""


class Stopped(SystemExit):
    """Raised in a thread that ran over its time; as a `SystemExit`, it ends the thread without a word."""


class Overtime(Exception):
    """The time limit has passed."""


Answer = queue.SimpleQueue[tuple[Any, BaseException | None]]
"""Where a thread puts its result, or what it raised."""


class Worker:
    """A daemon thread that runs one job after another."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._loop, name="oracle", daemon=True)
        self.thread.start()

    def _loop(self) -> None:
        while True:
            self._jobs.get()()

    def give(self, job: Callable[[], None]) -> None:
        """Let the thread run `job`, which must not raise."""
        self._jobs.put(job)

    def stop(self, answer: Answer) -> None:
        """Raise `Stopped` in the thread, again and again for a while, as bare `except` clauses may swallow it."""
        until = time.monotonic() + PATIENCE
        while answer.empty() and time.monotonic() < until:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self.thread.ident or 0), ctypes.py_object(Stopped)
            )
            time.sleep(PATIENCE / 10)


_idle: list[Worker] = []
"""Threads without a job, kept as a new one costs more than most calls. One that was stopped never comes back here."""
os.register_at_fork(after_in_child=_idle.clear)  # threads do not survive a fork


def call_within(seconds: float, function: Callable[[], Any]) -> Any:
    """The result of `function()`, run in another thread within a copy of the caller's context.

    Raises
    ------
    Overtime
        If it takes longer; it was then stopped, or runs on by itself if it will not stop.
    BaseException
        Whatever the function raises.
    """
    answer: Answer = queue.SimpleQueue()
    context = contextvars.copy_context()

    def job() -> None:
        try:
            answer.put((context.run(function), None))
        except BaseException as error:
            answer.put((None, error))

    worker = _idle.pop() if _idle else Worker()
    worker.give(job)
    answered = False
    try:
        result, error = answer.get(timeout=seconds)
        answered = True
    except queue.Empty:
        raise Overtime from None
    finally:  # also if Ctrl-C interrupts the wait
        if answered:
            _idle.append(worker)
        else:
            worker.stop(answer)
    try:
        if error is not None:
            raise error
        return result
    finally:
        del error  # whose traceback holds this frame, and with it the error
