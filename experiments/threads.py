"""How many threads BLAS and torch compute in."""

import contextlib
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
