"""Where large arrays lie: what the C library does with memory that is freed, and memory in large pages."""

import contextlib
import mmap
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


def in_large_pages(size: int) -> NDArray[np.uint8]:
    """At least so many bytes of zeroed memory, in pages of 2 MiB where the system has them.

    Of 4 KiB, the usual size, a network's arrays take more pages than the processor remembers the places of.
    """
    if not hasattr(mmap, "MADV_HUGEPAGE"):  # no Linux
        return np.zeros(size, np.uint8)
    memory = mmap.mmap(-1, -(-size // _PAGES) * _PAGES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without them
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.uint8)
