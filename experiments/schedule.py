"""The course of the learning rate over a run."""

import math

from experiments.config import Schedule


def learning_rate(schedule: Schedule, lr: float, update: int, updates: int) -> float:
    """Return the learning rate of one update: lr, or lr · ½(1 + cos(π t/T)).

    Parameters
    ----------
    schedule:
        "constant" or "cosine".
    lr:
        That of the first update.
    update:
        t, the number of updates made before this one.
    updates:
        T, those of the whole run.

    Returns
    -------
    float
        A function of its arguments alone: a resumed run has the rates of the unbroken one, bit for bit. Greater than 0
        up to the last update, t = T − 1.

    Source: I. Loshchilov, F. Hutter (2017), "SGDR: stochastic gradient descent with warm restarts", eq. 5, without
    restarts and with η_min = 0; here t counts updates, not epochs.
    """
    return lr * 0.5 * (1 + math.cos(math.pi * update / updates)) if schedule == "cosine" else lr
