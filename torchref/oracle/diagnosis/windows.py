"""Mistakes in what pooling makes of a window: sum, average, sub-sampling, maximum."""

import math
from collections.abc import Callable, Iterator

from torch import Tensor

from torchref.oracle.diagnosis.convolving import hypothesis
from torchref.oracle.diagnosis.hypothesis import Hypothesis
from torchref.oracle.diagnosis.ingredients import Leaves, kernel, stride, upstream
from torchref.oracle.kinds.kind import Trial
from torchref.pooling import AvgPool2d, Subsample2d


def opened(x: Tensor, size: tuple[int, ...], step: tuple[int, ...]) -> Tensor:
    """All windows: (N, C, H′, W′, kh·kw)."""
    return x.unfold(2, size[0], step[0]).unfold(3, size[1], step[1]).flatten(4)


def finish(trial: Trial, leaves: Leaves, sums: Tensor) -> Tensor:
    """What a layer does to the sums over its windows: the average, or w·sum + b."""
    if isinstance(trial.reference, Subsample2d):
        return sums * leaves["weight"][:, None, None] + leaves["bias"][:, None, None]
    return sums / math.prod(kernel(trial))


def summed(trial: Trial, leaves: Leaves) -> Tensor:
    """Σ over each window."""
    return opened(leaves["x"], kernel(trial), stride(trial)).sum(4)


DIVISORS: dict[str, tuple[str, Callable[[Trial], float]]] = {
    "pool:undivided": ("the sum over the window is not divided by its area", lambda t: 1),
    "pool:divided-twice": (
        "the window's sum is divided by the area twice",
        lambda t: math.prod(kernel(t)) ** 2,
    ),
    "pool:wrong-divisor kh": ("the window's sum is divided by its height, not by its area", lambda t: kernel(t)[0]),
    "pool:wrong-divisor kw": ("the window's sum is divided by its width, not by its area", lambda t: kernel(t)[1]),
    "pool:wrong-divisor stride": (
        "the window's sum is divided by the stride's area, not by the window's",
        lambda t: math.prod(stride(t)),
    ),
}
"""Of an average, by code: what is said of it, and what the sum is divided by."""


def averages(tensor: str) -> Iterator[Hypothesis]:
    """The average over a window divided by something else."""
    for code, (says, divisor) in DIVISORS.items():

        def forward(trial: Trial, leaves: Leaves, divisor: Callable[[Trial], float] = divisor) -> Tensor:
            return summed(trial, leaves) / divisor(trial)

        yield hypothesis(tensor, code.split(" ")[0], f"{{it}}: {says}", forward)


def sums(tensor: str) -> Iterator[Hypothesis]:
    """The windows of an average or a sub-sampling in another place or incomplete."""

    def swapped(trial: Trial, leaves: Leaves) -> Tensor:
        return finish(trial, leaves, opened(leaves["x"], kernel(trial)[::-1], stride(trial)).sum(4))

    def other_step(trial: Trial, leaves: Leaves, step: tuple[int, ...]) -> Tensor:
        return finish(trial, leaves, opened(leaves["x"], kernel(trial), step).sum(4))

    def last_skipped(trial: Trial, leaves: Leaves) -> Tensor:
        taps = opened(leaves["x"], kernel(trial), stride(trial))
        return finish(trial, leaves, taps[..., : max(1, taps.shape[4] - 1)].sum(4))

    def end_aligned(trial: Trial, leaves: Leaves) -> Tensor:
        return finish(trial, leaves, opened(at_end(trial, leaves["x"]), kernel(trial), stride(trial)).sum(4))

    yield hypothesis(tensor, "swap:axes", "{it}: the window's height and width are exchanged", swapped)
    yield from placed(tensor, other_step, end_aligned)
    yield hypothesis(tensor, "taps:last-skipped", "{it}: the last entry of each window is left out", last_skipped)


def placed(
    tensor: str,
    other_step: Callable[[Trial, Leaves, tuple[int, ...]], Tensor],
    end_aligned: Callable[[Trial, Leaves], Tensor],
) -> Iterator[Hypothesis]:
    """Windows that lie elsewhere, for any pooling."""
    yield hypothesis(
        tensor,
        "stride:swapped",
        "{it}: the strides of rows and columns are exchanged",
        lambda t, leaves: other_step(t, leaves, stride(t)[::-1]),
    )
    yield hypothesis(
        tensor, "stride:ignored", "{it}: the stride is ignored", lambda t, leaves: other_step(t, leaves, (1, 1))
    )
    yield hypothesis(
        tensor,
        "stride:ignored kernel",
        "{it}: the stride given is ignored, the windows lie side by side",
        lambda t, leaves: other_step(t, leaves, kernel(t)),
    )
    yield hypothesis(
        tensor, "stride:end-aligned", "{it}: the windows are aligned to the end, not to the start", end_aligned
    )


def at_end(trial: Trial, x: Tensor) -> Tensor:
    """Without the first rows and columns where the windows leave a rest."""
    for axis, (k, s) in enumerate(zip(kernel(trial), stride(trial), strict=True), start=2):
        rest = (x.shape[axis] - k) % s
        x = x.narrow(axis, rest, x.shape[axis] - rest)
    return x


def coefficients(tensor: str) -> Iterator[Hypothesis]:
    """Sub-sampling's coefficient and bias."""
    formulas: dict[str, tuple[str, Callable[[Trial, Tensor, Tensor, Tensor], Tensor]]] = {
        "pool:sum-vs-mean": (
            "the mean over each window is taken where the layer is defined with the sum",
            lambda t, s, w, b: s / math.prod(kernel(t)) * w + b,
        ),
        "bias:missing": ("the bias is not added", lambda t, s, w, b: s * w + 0 * b),
        "bias:doubled": ("the bias is added twice", lambda t, s, w, b: s * w + 2 * b),
        "bias:per-tap": ("the bias is added once for each pixel", lambda t, s, w, b: s * w + math.prod(kernel(t)) * b),
        "bias:inside": (
            "the bias is added before the coefficient is applied: w·(sum + b)",
            lambda t, s, w, b: (s + b) * w,
        ),
        "scale:missing": ("the coefficient is not applied", lambda t, s, w, b: s + 0 * w + b),
        "channels:first": (
            "the first map's coefficient and bias are used for all maps",
            lambda t, s, w, b: s * w[:1] + b[:1],
        ),
        "channels:first w": (
            "the first map's coefficient is used for all maps",
            lambda t, s, w, b: s * w[:1] + b,
        ),
    }
    if tensor == "grad weight":  # there these come to a factor, and say less
        del formulas["pool:sum-vs-mean"], formulas["scale:missing"]
    for code, (says, formula) in formulas.items():

        def forward(
            trial: Trial, leaves: Leaves, formula: Callable[[Trial, Tensor, Tensor, Tensor], Tensor] = formula
        ) -> Tensor:
            weight, bias = (leaves[name][:, None, None] for name in ("weight", "bias"))
            return formula(trial, summed(trial, leaves), weight, bias)

        yield hypothesis(tensor, code.split(" ")[0], f"{{it}}: {says}", forward)
    if tensor == "grad weight":
        yield Hypothesis(
            "slope:other",
            "{it}: the coefficient's gradient is summed with the output y in place of the window's sum",
            lambda t: (upstream(t) * t.oracle["y"]).sum((0, 2, 3)),
        )


def pools(tensor: str, trial: Trial) -> Iterator[Hypothesis]:
    """All that fits the layer."""
    if isinstance(trial.reference, AvgPool2d):
        yield from averages(tensor)
    if isinstance(trial.reference, Subsample2d):
        yield from coefficients(tensor)
    if isinstance(trial.reference, AvgPool2d | Subsample2d):
        yield from sums(tensor)
