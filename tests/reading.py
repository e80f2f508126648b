"""What another process writes to a pipe or a terminal, read as it comes: in how many pieces is nobody's promise."""

import os
import select
import time


def until(last: bytes, descriptor: int, seconds: float = 60) -> bytes:
    """Return what comes up to these bytes; less if the writer has gone or the time is up."""
    text, end = b"", time.monotonic() + seconds
    while last not in text and select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
        piece = os.read(descriptor, 1000)
        if not piece:
            break
        text += piece
    return text
