"""A thread in which somebody else's code runs, so that it can be left behind if it does not come back."""

import contextlib
import contextvars
import ctypes
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

PATIENCE = 0.25
"""Seconds in which a thread that was told to stop may do so; then it is abandoned."""
TRIES = 3
"""How often it is told."""


class Stopped(SystemExit):
    """Raised in a thread that ran over its time; as a `SystemExit`, it ends the thread without a word."""


STOPPED = ctypes.py_object(Stopped)
set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc


class Overtime(Exception):
    """The time limit has passed."""


Answer = queue.SimpleQueue[tuple[Any, BaseException | None]]
"""Where a thread puts its result, or what it raised."""


class Worker:
    """A daemon thread that runs one job after another, until one has to be stopped."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._retired = False
        self._thread = threading.Thread(target=self._loop, name="oracle", daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        with contextlib.suppress(Stopped):  # which may come when the job has just ended
            while not self._retired:
                self._jobs.get()()

    def give(self, job: Callable[[], None]) -> None:
        """Let the thread run `job`, which must not raise."""
        self._jobs.put(job)

    def stop(self, answer: Answer) -> None:
        """Raise `Stopped` in the thread, a few times, as bare `except` clauses may swallow it.

        Not more often: it should hit the user's loop, not what the thread does on the way out of it.
        """
        self._retired = True
        thread = ctypes.c_ulong(self._thread.ident or 0)
        for _ in range(TRIES):
            set_exception(thread, STOPPED)
            try:
                answer.get(timeout=PATIENCE / TRIES)
                break
            except queue.Empty:
                continue
        # Withdrawn, as one that only sleeps is not to be hit when it wakes up, and one that answers may have ended just
        # before that. Python 3.11 marks the whole interpreter when an exception waits for a thread, and unmarks it when
        # one is raised, not when it is withdrawn or its thread ends; until then functions that are traced (by coverage,
        # a debugger) never get past their first instruction. So none is called above, and one is always raised here.
        set_exception(thread, None)
        try:
            _ = set_exception(ctypes.c_ulong(threading.get_ident()), STOPPED), os.getpid()  # raised by either call
        except Stopped:
            return


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
