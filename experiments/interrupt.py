"""Ctrl-C and SIGTERM as a request: finish the batch, save, then stop."""

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Final, Self

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_STDOUT, _STDERR = 1, 2
_SHOW_CURSOR: Final = b"\x1b[?25h"


class Interrupt:
    """While entered, remembers the first SIGINT or SIGTERM instead of dying of it; a second one aborts at once.

    Attributes
    ----------
    signal:
        Number of the signal that came, or None.

    In another thread than the main one, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._old: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._old = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (the signature is Python's)
        self.signal = number
        # A batch may take minutes. os.write, since the signal may have come in the middle of a print.
        _write(_STDERR, b"\n" * os.isatty(_STDERR) + b"finishing this batch; once more aborts\n")
        # Now, since nothing can be done any more when the second signal ends the process: a bar hides the cursor.
        if os.isatty(_STDOUT):
            _write(_STDOUT, _SHOW_CURSOR)
        # The system's own reaction: the process ends at once, with the status 128 + signal and without a traceback.
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)


def _write(descriptor: int, text: bytes) -> None:
    with contextlib.suppress(OSError):  # whoever read it may have gone
        os.write(descriptor, text)
