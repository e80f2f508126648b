"""The same thing over many seeds, in as many processes as there are cores."""

import functools
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from typing import TypeVar

from joblib import Parallel, delayed

from experiments.threads import limited_threads

Result = TypeVar("Result")


def over_seeds(work: Callable[[int], Result], seeds: Iterable[int], jobs: int) -> list[Result]:
    """Do the work of each seed, `jobs` at a time, each in one thread; results come in the order of the seeds.

    What comes out does not depend on `jobs`.

    Parameters
    ----------
    work:
        A function of the module, or a `functools.partial` of one.
    seeds:
        What it is called with.
    jobs:
        Processes; 1 stays in this one.
    """
    results: list[Result] = Parallel(n_jobs=jobs)(delayed(_in_one_thread)(work, seed, os.getpid()) for seed in seeds)
    return results


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_one_thread(work: Callable[[int], Result], seed: int, parent: int) -> Result:
    if os.getpid() != parent:
        _end_with(parent)
    with warnings.catch_warnings(), limited_threads(1):
        return work(seed)


@functools.cache
def _end_with(parent: int) -> None:
    """Watch from now on that the parent lives: workers of one that was killed would wait for work for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
