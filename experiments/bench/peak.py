"""What this machine's matrix products reach: the yardstick that no network can pass."""

import dataclasses
import time
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from experiments.bench.cells import DtypeName

SIZES: Final = (256, 512, 1024, 2048)
"""Rows and columns of the squares that are tried: which is fastest depends on the caches."""


@dataclasses.dataclass(frozen=True)
class Peak:
    """The fastest product of two square matrices.

    Parameters
    ----------
    dtype:
        Of the matrices.
    threads:
        Of BLAS.
    size:
        Rows and columns of the fastest.
    gflops:
        Its 2n³ operations per second, in thousands of millions.
    """

    dtype: DtypeName
    threads: int
    size: int
    gflops: float

    def to_json(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        return dataclasses.asdict(self)


def measure(dtype: DtypeName = "float32", threads: int = 1, seconds: float = 0.2) -> Peak:
    """Measure the peak with NumPy's BLAS.

    The best single product counts, not the median: a peak is what is possible when nothing disturbs.

    Parameters
    ----------
    dtype:
        Of the matrices.
    threads:
        Of BLAS.
    seconds:
        How long each size is repeated, at least twice.
    """
    rng = np.random.default_rng(0)
    best = Peak(dtype, threads, 0, 0.0)
    with threadpool_limits(limits=threads):
        for size in SIZES:
            left, right = (rng.standard_normal((size, size)).astype(dtype) for _ in range(2))
            product = np.empty_like(left)
            np.matmul(left, right, out=product)
            end, shortest = time.perf_counter() + seconds, np.inf
            while True:
                begun = time.perf_counter()
                np.matmul(left, right, out=product)
                now = time.perf_counter()
                shortest = min(shortest, now - begun)
                if now > end:
                    break
            gflops = 2 * size**3 / shortest / 1e9
            if gflops > best.gflops:
                best = Peak(dtype, threads, size, gflops)
    return best
