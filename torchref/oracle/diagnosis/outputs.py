"""Mistakes that do something to the result alone: a factor, axes exchanged, a mirror image, a shift."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis import ingredients
from torchref.oracle.diagnosis.hypothesis import Hypothesis, Seen
from torchref.oracle.kinds.kind import Trial

Factor = Callable[[Trial], float]

FACTORS: dict[str, tuple[str, Factor]] = {
    "ratio:-1": ("{it}: it has the opposite sign", lambda t: -1),
    "ratio:0": ("{it}: it is zero", lambda t: 0),
    "ratio:2": ("{it}: it is twice what it should be", lambda t: 2),
    "ratio:1/2": ("{it}: it is half of what it should be", lambda t: 0.5),
    "ratio:N": (
        "{it}: it is N times what it should be, N the batch size: summed where it should be averaged",
        lambda t: len(ingredients.batch(t)),
    ),
    "ratio:1/N": (
        "{it}: it is divided by the batch size N: averaged over the samples where it should be summed",
        lambda t: 1 / len(ingredients.batch(t)),
    ),
    "ratio:places": ("{it}: it is multiplied by the number of places H′·W′", ingredients.places),
    "ratio:1/places": (
        "{it}: it is divided by the number of places H′·W′: averaged over them where it should be summed",
        lambda t: 1 / ingredients.places(t),
    ),
    "ratio:N·places": (
        "{it}: it is multiplied by N·H′·W′",
        lambda t: len(ingredients.batch(t)) * ingredients.places(t),
    ),
    "ratio:1/(N·places)": (
        "{it}: it is divided by N·H′·W′: averaged over samples and places where it should be summed",
        lambda t: 1 / (len(ingredients.batch(t)) * ingredients.places(t)),
    ),
    "ratio:area": (
        "{it}: it is multiplied by the window's area: a sum where there should be an average",
        lambda t: math.prod(ingredients.kernel(t)),
    ),
    "ratio:1/area": (
        "{it}: it is divided by the window's area: an average where there should be a sum",
        lambda t: 1 / math.prod(ingredients.kernel(t)),
    ),
    "ratio:k": ("{it}: it is multiplied by the window's size k", lambda t: ingredients.kernel(t)[0]),
    "ratio:1/k": ("{it}: it is divided by the window's size k", lambda t: 1 / ingredients.kernel(t)[0]),
    "ratio:K": ("{it}: it is multiplied by the number of units or channels K", ingredients.units),
    "ratio:1/K": (
        "{it}: it is divided by the number of units or channels K: averaged over them where it should be summed",
        lambda t: 1 / ingredients.units(t),
    ),
    "ratio:1/(N·K)": (
        "{it}: it is divided by N·K: averaged over the units too",
        lambda t: 1 / (len(ingredients.batch(t)) * ingredients.units(t)),
    ),
}
"""Factor by code: what is said of it, and how large it is in a trial."""


NEARLY = 1e-9
"""A factor this close to 1 is no factor but an error of rounding."""


def told(factor: float) -> str:
    """A factor in words; what is near 1 by its distance from 1."""
    near = 0 < abs(factor - 1) < 1e-3
    return f"1 {'+' if factor > 1 else '−'} {abs(factor - 1):.3g}" if near else f"{factor:.6g}"


def multiplied(tensor: str, factor: Factor) -> Callable[[Trial], Array]:
    """The oracle's tensor times a factor."""
    return lambda trial: trial.oracle[tensor] * factor(trial)


def ratios(tensor: str) -> Iterator[Hypothesis]:
    """Every factor with a meaning."""
    for code, (says, factor) in FACTORS.items():
        yield Hypothesis(code, says, multiplied(tensor, factor))


def constant_ratio(tensor: str, sample: Seen) -> Iterator[Hypothesis]:
    """One factor in all trials, whatever it is: taken from a sample."""
    if sample.mine.shape == sample.oracle.shape and (size := float((sample.oracle**2).sum())) > 0:
        factor = float((sample.mine * sample.oracle).sum()) / size
        if abs(factor - 1) > NEARLY:
            says = f"{{it}}: it is {told(factor)} times what it should be, always"
            yield Hypothesis("ratio:constant", says, multiplied(tensor, lambda t: factor))


def changed(tensor: str, change: Callable[[Array], Array]) -> Callable[[Trial], Array]:
    """Something done to the oracle's tensor."""
    return lambda trial: change(trial.oracle[tensor])


def reshaped(tensor: str, change: Callable[[Array], Array]) -> Callable[[Trial], Array | None]:
    """The oracle's tensor with its axes changed: also where the shape shows it, unless the candidate's is right."""

    def predict(trial: Trial) -> Array | None:
        other = change(trial.oracle[tensor])
        return other if other.shape == np.shape(trial.mine[tensor]) else None

    return predict


def rearranged(tensor: str, sample: Seen) -> Iterator[Hypothesis]:
    """Axes exchanged, order reversed, rolled along an axis."""
    axes = sample.oracle.ndim
    if axes == 2:
        yield Hypothesis("swap:transposed", "{it}: it is transposed", reshaped(tensor, np.transpose))
    for order in itertools.permutations(range(axes)) if axes > 2 else ():
        if order != tuple(range(axes)):
            last_two = order == (*range(axes - 2), axes - 1, axes - 2)
            code = "swap:transposed" if last_two else "swap:axes"
            says = "{it}: its last two axes are exchanged (a transposed kernel or image)"
            says = says if last_two else f"{{it}}: it has its axes in the order {order}"
            yield Hypothesis(code, says, reshaped(tensor, functools.partial(np.transpose, axes=order)))
    if axes > 2:
        spatial = {"flip:kernel": tuple(range(2, axes)), "flip:rows": (2,), "flip:columns": (axes - 1,)}
        for code, over in spatial.items():
            what = {"flip:kernel": "along both axes", "flip:rows": "top to bottom"}.get(code, "left to right")
            says = f"{{it}}: it is mirrored {what if axes > 3 else 'along its last axis'}"
            yield Hypothesis(code, says, changed(tensor, functools.partial(np.flip, axis=over)))
    for axis in range(axes):
        for by in (1, -1):
            says = f"{{it}}: it is rolled by {by} along axis {axis}"
            yield Hypothesis("roll", says, changed(tensor, functools.partial(np.roll, shift=by, axis=axis)))
            says = f"{{it}}: it is shifted by {by} along axis {axis}, with zeros behind"
            yield Hypothesis("shift", says, changed(tensor, functools.partial(shifted, by=by, axis=axis)))


def negated(tensor: str, sample: Seen) -> Iterator[Hypothesis]:
    """A factor with a meaning, or axes exchanged, and the opposite sign on top."""
    for code, (says, factor) in FACTORS.items():
        if code not in ("ratio:-1", "ratio:0"):
            opposite: Factor = lambda t, factor=factor: -factor(t)  # type: ignore[misc]  # noqa: E731
            yield Hypothesis(code, f"{says}, and it has the opposite sign", multiplied(tensor, opposite))
    if sample.oracle.ndim == 2:
        says = "{it}: it is transposed, and it has the opposite sign"
        yield Hypothesis("swap:transposed", says, reshaped(tensor, lambda a: -a.T))


def exchanged(tensor: str, trial: Trial) -> Iterator[Hypothesis]:
    """Another result where this one should be."""
    for other in {**trial.oracle, "grad bias": None}:
        if other not in ("y", tensor):

            def predict(trial: Trial, other: str = other) -> Array:
                if other == "grad bias" and other not in trial.oracle:  # given all the same by who knows no "without"
                    dy = ingredients.upstream(trial)
                    return np.asarray(dy.sum((0, *range(2, dy.ndim))))
                return trial.oracle[other]

            called = {"dx": "the gradient of x"}.get(other, f"the gradient of {other.removeprefix('grad ')}")
            yield Hypothesis("order:results", f"{{it}}: it is {called}: the results come in another order", predict)


def shifted(array: Array, by: int, axis: int) -> Array:
    """Moved along an axis by one place, with zeros where nothing comes from."""
    moved = np.roll(array, by, axis)
    index: list[slice | int] = [slice(None)] * array.ndim
    index[axis] = 0 if by > 0 else -1
    moved[tuple(index)] = 0
    return moved


def reread(tensor: str, sample: Seen) -> Iterator[Hypothesis]:
    """The right numbers in memory, read as if the batch and the places stood in another order."""
    axes = sample.oracle.ndim
    if tensor != "y" or axes < 3:
        return
    written = ((1, *range(2, axes), 0), (1, 0, *range(2, axes)), tuple(range(axes)), (0, *range(2, axes), 1))
    for p, q in itertools.permutations(written, 2):
        says = (
            "{it}: its axes were reshaped in another order than they lie in memory: batch, channels and places mixed up"
        )
        yield Hypothesis("swap:axes", says, changed(tensor, functools.partial(misread, written=p, read=q)))


def misread(array: Array, written: tuple[int, ...], read: tuple[int, ...]) -> Array:
    """An array laid out with its axes in one order, and reshaped as if they were in another."""
    flat = array.transpose(written).reshape([array.shape[axis] for axis in read])
    return flat.transpose(np.argsort(read))
