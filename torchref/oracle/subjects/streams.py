"""What somebody else's code prints, caught without disturbing what others print meanwhile."""

import io
import sys
import threading
from typing import Any, Self

KEPT = 1_000
"""Characters that are kept of each call; the rest is thrown away."""


class Streams:
    """While entered, what threads print that were not there before is kept in `text`; and standard input is empty.

    Threads that were there, such as one that draws a progress bar, and the one that entered, print as before.
    """

    def __init__(self) -> None:
        self.text = ""

    def __enter__(self) -> Self:
        self._before = sys.stdin, sys.stdout, sys.stderr
        others = {thread.ident for thread in threading.enumerate() if thread.name != "oracle"}
        sys.stdin, sys.stdout, sys.stderr = io.StringIO(), *(_Tee(self, s, others) for s in self._before[1:])
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdin, sys.stdout, sys.stderr = self._before


class _Tee(io.TextIOBase):
    """A stream that sends other threads' text on to where it was going."""

    def __init__(self, streams: Streams, stream: Any, others: set[int | None]) -> None:
        self._streams = streams
        self._stream = stream
        self._others = others

    def write(self, text: str) -> int:
        if threading.get_ident() in self._others:
            return int(self._stream.write(text))
        room = KEPT - len(self._streams.text)
        self._streams.text += text[: max(room, 0)]
        return len(text)

    def flush(self) -> None:
        if threading.get_ident() in self._others:
            self._stream.flush()

    def isatty(self) -> bool:
        return False
