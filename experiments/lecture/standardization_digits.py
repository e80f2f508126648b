"""The digits as inputs: of their pixels some are constant, and others nearly so. What equalising makes of that."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments import data
from experiments.backend import Array, Labels
from experiments.lecture.lab import Claim, Wing, worst
from experiments.lecture.small_digits import coarse
from experiments.lecture.standardization_trials import shape, spread


class Whitened(NamedTuple):
    """Digits with constant pixels, equalised.

    pixels: how many. constant: how many of them never vary. rank, true_rank: in how many directions the digits do, as
    the standardiser and as NumPy finds it. finite: whether nothing is NaN or infinite. spread: λmax / λmin of their
    covariance, in those directions. from_identity: max|cov(z) − I|. inverse: max|x − x′| on the way back. stream:
    max|z − z′| when learnt batch by batch. values: z.
    """

    pixels: int
    constant: int
    rank: int
    true_rank: int
    finite: bool
    spread: float
    from_identity: float
    inverse: float
    stream: float
    values: Array


@functools.cache
def digits(side: int) -> tuple[Array, Labels]:
    """The training digits as rows of side² pixels, 0 to 1: means over squares of the 28 × 28."""
    train = data.load("digits").train
    return coarse(train.images / 255, 28 // side).reshape(len(train), -1), train.labels


def whiten(wing: Wing, x: Array, batch: int) -> Whitened:
    """Equalise inputs (N, D) some of which are constant, in one go and batch by batch, and go back."""

    def make() -> Any:
        return wing.library.Standardizer(x.shape[1], "equalized", dtype=wing.dtype())

    whole, stream = make().fit(wing.give(x)), make()
    for first in range(0, len(x), batch):
        stream.partial_fit(wing.give(x[first : first + batch]))
    z = wing.take(whole.transform(wing.give(x)))
    back, streamed = wing.take(whole.inverse_transform(wing.give(z))), wing.take(stream.transform(wing.give(x)))
    rank = int(np.linalg.matrix_rank(x - x.mean(axis=0)))
    return Whitened(
        x.shape[1],
        int((np.ptp(x, axis=0) == 0).sum()),
        whole.rank,
        rank,
        bool(np.isfinite(z).all() and np.isfinite(back).all()),
        spread(x, rank),
        shape(z).from_identity,
        float(np.abs(back - x).max()),
        float(np.abs(streamed - z).max()) if streamed.shape == z.shape else math.inf,
        z,
    )


def wings_apart(whitened: Mapping[str, Sequence[Whitened]]) -> float:
    """max|z − z′| between the wings; infinite where they keep other numbers of directions."""
    pairs = zip(*([one.values for one in ones] for ones in whitened.values()), strict=True)
    return worst(float(np.abs(a - b).max()) if a.shape == b.shape else math.inf for a, b in pairs)


def judge_whitened(whitened: Mapping[str, Sequence[Whitened]]) -> list[Claim]:
    """Constant pixels, and batches."""
    pairs = [*zip(*whitened.values(), strict=True)]
    pixels = [one for pair in pairs for one in pair]
    # Rounding an input by ε moves the component that varies least by ε·σmax/σmin: at 28 × 28 pixels, 9e-12.
    eps = float(np.finfo(np.float64).eps)
    identity = worst(
        one.from_identity / (1e-12 if one.pixels < 28**2 else eps * math.sqrt(one.spread)) for one in pixels
    )
    inverse, stream = worst(one.inverse for one in pixels), worst(one.stream for one in pixels)
    sizes = "; ".join(
        f"{a.pixels} pixels, {a.constant} constant, rank {a.rank}, σmax/σmin {math.sqrt(a.spread):.2g}: "
        f"cov − I {worst((a.from_identity, b.from_identity)):.1e}"
        for a, b in pairs
    )
    return [
        Claim(
            "Constant pixels do no harm: the equalised digits have as many components as the digits have rank, and the "
            "covariance I to 1e-12 (28 × 28 pixels: to ε·σmax/σmin); nothing is non-finite, and the way back gives "
            "every pixel to 1e-9 of white.",
            f"{sizes}; back {inverse:.1e}",
            identity <= 1
            and inverse <= 1e-9
            and all(w.finite and w.constant and w.rank == w.true_rank for w in pixels),
            {"identity": worst(one.from_identity for one in pixels), "bound": identity, "inverse": inverse},
        ),
        Claim(
            "Learnt batch by batch, the standardiser does the same to the digits as learnt in one go, to 1e-9.",
            f"{stream:.1e} apart",
            stream <= 1e-9,
            {"stream": stream},
        ),
    ]
