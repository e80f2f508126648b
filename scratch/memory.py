"""What the C library does with memory that is freed."""

from typing import Final

import numpy as np

_MOST: Final = (32 << 20) - (64 << 10)  # bytes: the threshold rises to 32 MiB at most


def keep_memory() -> None:
    """Have freed memory kept for the next array, instead of handed back to the system and fetched anew.

    A training step makes the same large arrays again and again. glibc fetches a block above a threshold from the
    system, and hands it back when it is freed; each time its pages are faulted in and zeroed one by one, which took a
    third of a step of LeNet-5 (docs/speed.md). The threshold rises to the largest such block that was ever freed, so
    one large block, never written to, is made and freed here. Other C libraries take no notice.
    """
    np.empty(_MOST, np.uint8)
