"""How many threads BLAS and torch compute in, and how many processes `scratch` does."""

import contextlib
import os
from collections.abc import Iterator

import torch
from threadpoolctl import threadpool_limits


@contextlib.contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Limit torch to this many threads while the block runs, and BLAS to one; 0 leaves them as they are.

    `scratch.parallel` allows BLAS more where it is worth it. Elsewhere a product in several threads, as for a trace,
    leaves threads behind that go on looking for work: beside them, the processes that share a step of LeNet-5 took more
    than twice as long for it.
    """
    if not threads:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(limits={"openmp": threads, "blas": 1}):
            yield
    finally:
        torch.set_num_threads(before)


def cores(threads: int) -> int:
    """Return on how many cores `scratch` computes; 0 means all that this process may use."""
    if threads:
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
