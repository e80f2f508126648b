"""How many threads BLAS and torch compute in, and how many processes `scratch` does."""

import contextlib
import os
from collections.abc import Iterator

import torch
from threadpoolctl import threadpool_limits


@contextlib.contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Limit BLAS and torch to this many threads while the block runs; 0 leaves them as they are."""
    if not threads:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        torch.set_num_threads(before)


def cores(threads: int) -> int:
    """Return on how many cores `scratch` computes; 0, which leaves BLAS and torch as they are, means all of them."""
    return threads or os.cpu_count() or 1
