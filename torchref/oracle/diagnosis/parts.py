"""Mistakes in what a gradient is summed over: some samples, one place, axes of δ mixed up."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.hypothesis import Hypothesis, ImpossibleError
from torchref.oracle.diagnosis.ingredients import outcome, upstream
from torchref.oracle.kinds.kind import Trial

Choice = Callable[[tuple[int, ...]], Array]
"""From the shape of δ to the entries that count, True."""


def samples(shape: tuple[int, ...], chosen: Callable[[Array, int], Array]) -> Array:
    """Entries of some samples; n and N are given to `chosen`."""
    counted: Array = chosen(np.arange(shape[0]), shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
    return counted


def first_samples(most: int) -> Choice:
    """Entries of as many samples, from the first on."""
    return lambda shape: samples(shape, lambda n, size: n < most)


def first_place(shape: tuple[int, ...]) -> Array:
    """Entries at the first place of each map."""
    if len(shape) < 3:
        raise ImpossibleError("no places")
    first: Array = (np.arange(math.prod(shape[2:])) == 0).reshape(1, 1, *shape[2:])
    return first


CHOICES: dict[str, tuple[str, Choice]] = {
    "samples:first": ("only the first sample is in the sum", lambda s: samples(s, lambda n, size: n == 0)),
    "samples:last": ("only the last sample is in the sum", lambda s: samples(s, lambda n, size: n == size - 1)),
    "samples:all-but-last": (
        "the last sample is left out of the sum",
        lambda s: samples(s, lambda n, size: (n < size - 1) | (size == 1)),
    ),
    "samples:all-but-first": (
        "the first sample is left out of the sum",
        lambda s: samples(s, lambda n, size: (n > 0) | (size == 1)),
    ),
    **{
        f"samples:some {most}": (f"only the first {most} samples are in the sum", first_samples(most))
        for most in (4, 8, 10, 16, 32, 64)
    },
    "places:first": ("only the first place of each map is in the sum; sum over H′ and W′ too", first_place),
}
"""By code: what is said of it, and which entries of δ count."""


def masked(tensor: str, choice: Choice) -> Callable[[Trial], Array]:
    """A gradient from part of δ: the rest counts as 0."""

    def predict(trial: Trial) -> Array:
        dy = upstream(trial)
        return outcome(trial, tensor, altered={"dy": np.where(choice(dy.shape), dy, dy.dtype.type(0))})

    return predict


def subsets(tensor: str) -> Iterator[Hypothesis]:
    """A gradient summed over part of the batch or the places."""
    for code, (says, choice) in CHOICES.items():
        yield Hypothesis(code.split(" ")[0], f"{{it}}: {says}", masked(tensor, choice))


def mixed_up(tensor: str) -> Iterator[Hypothesis]:
    """δ's axes reshaped in another order than they lie in memory."""
    for name, orders in MIXED.items():

        def predict(trial: Trial, orders: tuple[str, str] = orders) -> Array:
            dy = upstream(trial)
            if dy.ndim < 3:
                raise ImpossibleError("no places")
            written, read = ([_axes(letter, dy.ndim) for letter in order] for order in orders)
            first, second = (tuple(a for axes in group for a in axes) for group in (written, read))
            flat = dy.transpose(first).reshape([dy.shape[a] for a in second])
            return outcome(trial, tensor, altered={"dy": flat.transpose(np.argsort(second))})

        says = f"{{it}}: δ is reshaped as if its axes lay in another order ({name}): batch and places are mixed up"
        yield Hypothesis("swap:axes", says, predict)


MIXED = {
    f"{a} for {b}": (a, b)
    for a in ("ONP", "OPN", "NOP", "NPO", "PNO")
    for b in ("ONP", "OPN", "NOP", "NPO", "PNO")
    if a != b
}
"""N the samples, O the channels, P the places."""


def _axes(letter: str, ndim: int) -> tuple[int, ...]:
    return {"N": (0,), "O": (1,), "P": tuple(range(2, ndim))}[letter]
