"""Mistakes in max-pooling: another choice of the winner, another way back."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.convolving import hypothesis
from torchref.oracle.diagnosis.hypothesis import Hypothesis
from torchref.oracle.diagnosis.ingredients import Leaves, kernel, stride, upstream
from torchref.oracle.diagnosis.windows import at_end, opened, placed
from torchref.oracle.kinds.kind import Trial

Better = Callable[[Array, Array], Array]
"""From a window's next entry and the best so far to whether it is taken."""


class Won(NamedTuple):
    """The output and the index in its window, (N, C, H′, W′)."""

    y: Array
    winner: Array


def tapped(trial: Trial) -> Array:
    """All windows: (kh·kw, N, C, H′, W′)."""
    x = torch.from_numpy(np.array(trial.given["x"]))
    return np.moveaxis(opened(x, kernel(trial), stride(trial)).numpy(), 4, 0)


def contest(trial: Trial, better: Better, start: Callable[[Array], Array] = np.copy) -> Won:
    """The window's entries one after the other, each against the best so far; the first one begins."""
    first, *rest = tapped(trial)
    y = start(first)
    winner = np.zeros(y.shape, int)
    for index, tap in enumerate(rest, start=1):
        taken = better(tap, y)
        y, winner = np.where(taken, tap, y), np.where(taken, index, winner)
    return Won(y, winner)


def right(tap: Array, best: Array) -> Array:
    """The convention: greater, or NaN."""
    return (tap > best) | np.isnan(tap)


def back(
    trial: Trial, winner: Array, share: Callable[[Array, Array], Array] | None = None, *, over: bool = False
) -> Array:
    """Dx from the winners: dy added (or written over) at each window's winner."""
    dy, dx = upstream(trial), np.zeros(trial.given["x"].shape)
    (kh, kw), (sh, sw) = kernel(trial), stride(trial)
    rows, cols = dy.shape[2:]
    for index, (i, j) in enumerate(np.ndindex(kh, kw)):
        tap = dx[:, :, i : i + sh * rows : sh, j : j + sw * cols : sw]
        won = winner == index
        if over:
            np.copyto(tap, dy, where=won)
        else:
            tap += share(dy, won) if share else np.where(won, dy, 0)
    return dx


CONTESTS: dict[str, tuple[str, Better, bool]] = {
    "pool:minimum": ("the minimum is taken", lambda tap, y: (tap < y) | np.isnan(tap), False),
    "pool:absolute": (
        "the maximum of absolute values is taken",
        lambda tap, y: (np.abs(tap) > np.abs(y)) | np.isnan(tap),
        False,
    ),
    "pool:ties-last": (
        "of equal entries in a window the last one wins, not the first",
        lambda tap, y: (tap >= y) | np.isnan(tap),
        False,
    ),
    "nonfinite:swallowed": ("NaN in a window does not win", lambda tap, y: (tap > y) | np.isnan(y), True),
    "nonfinite:swallowed first": (
        "NaN in a window wins only where it is the first entry",
        lambda tap, y: tap > y,
        True,
    ),
    "nonfinite:winner": (
        "of several NaN in a window the first one wins, where torch lets the last one win",
        lambda tap, y: (tap > y) | (np.isnan(tap) & ~np.isnan(y)),
        True,
    ),
}
"""By code: what is said of it, when an entry is taken, and whether it speaks of NaN."""


def winners(trial: Trial) -> Array:
    """Who should have won."""
    return contest(trial, right).winner


def _columnwise(trial: Trial) -> Array:
    kh, kw = kernel(trial)
    winner = winners(trial)
    read: Array = winner % kh * kw + winner // kh
    return read


def _narrow(trial: Trial) -> Array:
    return winners(trial).astype(np.int8).astype(int)


WINNERS: dict[str, tuple[str, Callable[[Trial], Array]]] = {
    "pool:first-pixel": (
        "the winner is not noted: the gradient always goes to the window's first entry",
        lambda t: np.zeros_like(winners(t)),
    ),
    "pool:winner off": (
        "the winner's index is one too small, but for the first entry",
        lambda t: np.where(winners(t) > 0, winners(t) - 1, 0),
    ),
    "pool:winner over": ("the winner's index is one too large", lambda t: winners(t) + 1),
    "pool:winner columnwise": ("the winner's index is read column by column, but was counted row by row", _columnwise),
    "pool:winner narrow": ("the winner's index does not fit into the 8 bits it is kept in", _narrow),
}
"""By code: what is said of it, and who is taken for the winner on the way back."""


def maxima(tensor: str) -> Iterator[Hypothesis]:
    """Everything that can go wrong with a maximum."""
    for code, (says, better, strict) in CONTESTS.items():

        def predict(trial: Trial, better: Better = better) -> Array:
            won = contest(trial, better)
            return won.y if tensor == "y" else back(trial, won.winner)

        yield Hypothesis(code.split(" ")[0], f"{{it}}: {says}", predict, strict)

    def from_zero(trial: Trial) -> Array:
        won = contest(trial, right, lambda first: np.maximum(first, 0))
        return won.y if tensor == "y" else back(trial, won.winner)

    yield Hypothesis("pool:from-zero", "{it}: the maximum begins from 0, so negative windows come out as 0", from_zero)
    yield from moved(tensor)
    if tensor == "dx":
        yield from ways_back()


def moved(tensor: str) -> Iterator[Hypothesis]:
    """Windows elsewhere or incomplete."""

    def most(trial: Trial, x: Tensor, size: tuple[int, ...], step: tuple[int, ...]) -> Tensor:
        del trial
        return opened(x, size, step).max(4).values

    def other_step(trial: Trial, leaves: Leaves, step: tuple[int, ...]) -> Tensor:
        return most(trial, leaves["x"], kernel(trial), step)

    def end_aligned(trial: Trial, leaves: Leaves) -> Tensor:
        return most(trial, at_end(trial, leaves["x"]), kernel(trial), stride(trial))

    def swapped(trial: Trial, leaves: Leaves) -> Tensor:
        return most(trial, leaves["x"], kernel(trial)[::-1], stride(trial))

    def last_skipped(trial: Trial, leaves: Leaves) -> Tensor:
        taps = opened(leaves["x"], kernel(trial), stride(trial))
        return taps[..., : max(1, taps.shape[4] - 1)].max(4).values

    yield hypothesis(tensor, "swap:axes", "{it}: the window's height and width are exchanged", swapped)
    yield from placed(tensor, other_step, end_aligned)
    yield hypothesis(tensor, "taps:last-skipped", "{it}: the last entry of each window is left out", last_skipped)


def _towards(winner: Callable[[Trial], Array]) -> Callable[[Trial], Array]:
    return lambda trial: back(trial, winner(trial))


def ways_back() -> Iterator[Hypothesis]:
    """Dx alone: other winners, other shares."""
    for code, (says, winner) in WINNERS.items():
        yield Hypothesis(code.split(" ")[0], f"{{it}}: {says}", _towards(winner))
    yield Hypothesis(
        "overlap:overwritten",
        "{it}: where windows overlap the last one overwrites the others instead of being added",
        lambda t: back(t, winners(t), over=True),
    )
    yield Hypothesis(
        "pool:shared-out",
        "{it}: the gradient is shared out among all entries of the window, not given to the winner",
        lambda t: back(t, winners(t), lambda dy, won: dy / np.prod(kernel(t))),
    )
    yield Hypothesis(
        "pool:shared-out whole",
        "{it}: every entry of the window receives the whole gradient, not only the winner",
        lambda t: back(t, winners(t), lambda dy, won: dy),
    )
    yield Hypothesis("pool:ties-all", "{it}: of equal entries in a window all receive the gradient", _all_ties)
    yield Hypothesis("pool:ties-all shared", "{it}: equal entries in a window share the gradient", _shared_ties)
    yield Hypothesis(
        "nonfinite:spread",
        "{it}: dy is multiplied by 0 or 1, so NaN and infinity in dy reach all entries of the window",
        lambda t: back(t, winners(t), lambda dy, won: dy * won),
        strict=True,
    )


def _all_ties(trial: Trial) -> Array:
    taps = tapped(trial)
    return _shared(trial, taps == taps.max(0), np.ones_like(taps[0]))


def _shared_ties(trial: Trial) -> Array:
    taps = tapped(trial)
    best = taps == taps.max(0)
    return _shared(trial, best, best.sum(0))


def _shared(trial: Trial, won: Array, among: Array) -> Array:
    dy, dx = upstream(trial), np.zeros(trial.given["x"].shape)
    (kh, kw), (sh, sw) = kernel(trial), stride(trial)
    rows, cols = dy.shape[2:]
    for index, (i, j) in enumerate(np.ndindex(kh, kw)):
        dx[:, :, i : i + sh * rows : sh, j : j + sw * cols : sw] += np.where(won[index], dy / among, 0)
    return dx
