"""Which images each update sees: one code path for batch, mini-batch and online learning.

Source: 多层感知机, batch, mini-batch and online learning. Here they differ in one number, the batch size: N, B or 1.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from experiments.errors import UserError


def updates_per_epoch(n: int, batch_size: int) -> int:
    """Return ⌈n / B⌉: the last batch of an epoch may be smaller, but no image is left out.

    Parameters
    ----------
    n:
        Number of training images, at least 1.
    batch_size:
        Images per update, 1 ≤ B ≤ n.

    Raises
    ------
    UserError
        With exit status 2, if the batch size is not between 1 and n.
    """
    if not 1 <= batch_size <= n:
        raise UserError(
            f"--batch-size: expected a whole number from 1 to {n:,}, the number of training images; got {batch_size:,}",
            exit_code=2,
        )
    return -(-n // batch_size)


def in_words(updates: int, batch_size: int) -> str:
    """Return what an epoch is: "21 updates per epoch x 64 images"."""
    counts = ((updates, "update"), (batch_size, "image"))
    return " per epoch x ".join(f"{count:,} {what}{'s' * (count != 1)}" for count, what in counts)


def epoch_order(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """Return the order of the images in one epoch, `default_rng([seed, epoch]).permutation(n)`.

    It depends on nothing but its arguments, so a run resumed in any epoch sees what the unbroken run would have seen.

    Parameters
    ----------
    seed:
        The run's seed.
    epoch:
        Counted from 1.
    n:
        Number of training images.

    Returns
    -------
    ndarray of int64, shape (n,)
        Each of 0 … n−1 once.
    """
    return np.random.default_rng([seed, epoch]).permutation(n)


def batches(order: NDArray[np.int64], batch_size: int, start: int = 0) -> Iterator[NDArray[np.int64]]:
    """Yield the image indices of each update of an epoch, from batch number `start` (counted from 0) on."""
    for first in range(start * batch_size, len(order), batch_size):
        yield order[first : first + batch_size]
