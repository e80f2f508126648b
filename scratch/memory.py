"""Where large arrays lie: what the C library does with memory that is freed, and memory in large pages."""

import contextlib
import mmap
import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

_MOST: Final = (32 << 20) - (64 << 10)  # bytes: the threshold rises to 32 MiB at most
_PAGES: Final = 4 << 20  # bytes: what is asked for at once, two large pages


def keep_memory() -> None:
    """Have freed memory kept for the next array, instead of handed back to the system and fetched anew.

    A training step makes the same large arrays again and again. glibc fetches a block above a threshold from the
    system, and hands it back when it is freed; each time its pages are faulted in and zeroed one by one, which took a
    third of a step of LeNet-5 (docs/speed.md). The threshold rises to the largest such block that was ever freed, so
    one large block, never written to, is made and freed here. Other C libraries take no notice.
    """
    np.empty(_MOST, np.uint8)


class LargePages:
    """Memory in pages of 2 MiB, where the system has them; of each that is asked for, several arrays may be cut.

    Of 4 KiB, the usual size, a network's arrays take more pages than the processor remembers the places of.
    """

    def __init__(self) -> None:
        self._rest = np.empty(0, np.uint8)
        self._turns = threading.Lock()

    def room(self, size: int) -> NDArray[np.uint8]:
        """So many bytes, or whole arrays of them: handed back when nothing lies in a page any more."""
        if not hasattr(mmap, "MADV_HUGEPAGE"):  # no Linux
            return np.empty(size, np.uint8)
        with self._turns:
            if size > self._rest.size:
                self._rest = in_pages(-(-size // _PAGES) * _PAGES)
            room, self._rest = self._rest[:size], self._rest[size:]
        return room


def in_pages(size: int) -> NDArray[np.uint8]:
    """New memory that the system is advised to take large pages for."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without them
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)


LARGE_PAGES: Final = LargePages()
"""Of this process: recordings of many small networks share pages."""
