"""How long something takes, against something else, on a machine that others use too."""

import time
from collections.abc import Callable, Sequence

import numpy as np


def alternately(actions: Sequence[Callable[[], object]], rounds: int, least: float = 0.002) -> list[float]:
    """Median seconds of each action, over rounds in which they take turns, each repeated for at least so many seconds.

    Seconds of this thread, so that a machine that is busy with other things does not count.
    """
    repeats = [max(1, round(least / max(_seconds(action, 2), 1e-9))) for action in actions]
    rows = [[_seconds(action, n) for action, n in zip(actions, repeats, strict=True)] for _ in range(rounds)]
    return [float(median) for median in np.median(rows, axis=0)]


def _seconds(action: Callable[[], object], repeats: int) -> float:
    begun = time.thread_time()
    for _ in range(repeats):
        action()
    return (time.thread_time() - begun) / repeats
