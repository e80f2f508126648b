"""What the trials that failed have in common, and no other has."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

from torchref.oracle.diagnosis import ingredients
from torchref.oracle.diagnosis.hypothesis import Seen
from torchref.oracle.kinds.kind import Trial

Rule = Callable[[Trial], bool]


def _pair(read: Callable[[Trial], tuple[int, ...]], axis: int) -> Callable[[Trial], float]:
    return lambda trial: read(trial)[axis]


def _shape(axis: int) -> Callable[[Trial], float]:
    return lambda trial: ingredients.batch(trial).shape[axis]


NUMBERS: dict[str, Callable[[Trial], float]] = {
    "padding": lambda t: max(ingredients.padding(t)),
    "the kernel's area": lambda t: math.prod(ingredients.kernel(t)),
    "stride": lambda t: max(ingredients.stride(t)),
    "the batch size": _shape(0),
    "the number of rows of the kernel": _pair(ingredients.kernel, 0),
    "the number of columns of the kernel": _pair(ingredients.kernel, -1),
    "the number of input channels": lambda t: t.given["x"].shape[1],
    "the number of classes or outputs": lambda t: t.given["output"].shape[1],
    "the number of units or output channels": lambda t: ingredients.upstream(t).shape[1],
    "padding beyond the kernel": lambda t: max(
        p - k for p, k in zip(ingredients.padding(t), ingredients.kernel(t), strict=True)
    ),
    "a": lambda t: t.reference.a,
    "b": lambda t: t.reference.b,
    "p": lambda t: t.reference.dropout.p,
    "momentum": lambda t: t.case.config["momentum"],
    "weight_decay": lambda t: t.case.config["weight_decay"],
}
"""Sizes and settings by name; asking one that a layer does not have raises."""

FLAGS: dict[str, Rule] = {
    "the dtype is float64": lambda t: t.dtype == "float64",
    "the dtype is float32": lambda t: t.dtype == "float32",
    "windows overlap": lambda t: any(s < k for s, k in zip(ingredients.stride(t), ingredients.kernel(t), strict=True)),
    "the stride leaves a rest": lambda t: any(
        (n + 2 * p - k) % s
        for n, p, k, s in zip(
            ingredients.batch(t).shape[2:],
            ingredients.padding(t),
            ingredients.kernel(t),
            ingredients.stride(t),
            strict=True,
        )
    ),
    "there are gaps between the windows": lambda t: any(
        s > k for s, k in zip(ingredients.stride(t), ingredients.kernel(t), strict=True)
    ),
    "the kernel is square": lambda t: len(set(ingredients.kernel(t))) == 1,
    "the kernel is not square": lambda t: len(set(ingredients.kernel(t))) > 1,
    "there is a table of connections": lambda t: t.case.config.get("connections") is not None,
    "there are ties": lambda t: "ties" in t.case.needs or t.variety == "integers",
    "the values are special (zeros, very large, very small)": lambda t: t.variety == "special values",
    "there is NaN or infinity": lambda t: "NaN" in t.variety or "nonfinite" in t.case.needs,
    "there is one sample, or one place": lambda t: len(ingredients.batch(t)) == 1 or ingredients.places(t) == 1,
    "the input is not contiguous": lambda t: (
        t.variety in ("Fortran order", "negative strides", "every second row", "broadcast")
    ),
    "the reduction is sum": lambda t: t.case.config.get("reduction") == "sum",
    "the reduction is mean": lambda t: t.case.config.get("reduction") == "mean",
    "the input channels are as many as the outputs": lambda t: ingredients.batch(t).shape[1] == ingredients.units(t),
}
"""Yes or no, by name."""


def asked(question: Callable[[Trial], float], trial: Trial) -> float | None:
    """The answer, or None where it has none."""
    try:
        return question(trial)
    except (ValueError, IndexError, AttributeError, KeyError):
        return None


def rules(trials: Sequence[Trial]) -> Iterator[tuple[str, Rule]]:
    """What can be said of trials: flags, and numbers above or below each value that they have."""
    for name, number in NUMBERS.items():
        values = sorted({v for t in trials if (v := asked(number, t)) is not None})
        for low, high in itertools.pairwise(values):
            between = low if float(low).is_integer() else (low + high) / 2
            said = f"{between:.4g}"
            yield f"{name} > {said}", _beyond(number, between, above=True)
            top = f"{name} is {low:.4g}" if low == values[0] else f"{name} ≤ {said}"
            yield top, _beyond(number, between, above=False)
    for name, flag in FLAGS.items():
        yield name, _said(flag)


def _said(flag: Rule) -> Rule:
    return lambda trial: bool(asked(flag, trial))


def _beyond(number: Callable[[Trial], float], limit: float, *, above: bool) -> Rule:
    def rule(trial: Trial) -> bool:
        value = asked(number, trial)
        return value is not None and (value > limit if above else value <= limit)

    return rule


def separating(wrong: Sequence[Trial], right: Sequence[Trial]) -> Iterator[tuple[str, Rule]]:
    """Rules that are true of all the first and of none of the second."""
    if wrong and right:
        for name, rule in rules([*wrong, *right]):
            if all(rule(t) for t in wrong) and not any(rule(t) for t in right):
                yield name, rule


PLAIN = ("padding > 0", "the kernel's area > 1", "stride > 1", "the batch size > 1")
"""Rules that are natural enough to stand in a hint, beside the flags."""


def common(looked: Sequence[Seen], *, natural: bool = False) -> str:
    """What sets the trials that failed apart, in words; "" if nothing simple does, or nothing natural."""
    wrong, right = [s.trial for s in looked if s.failed], [s.trial for s in looked if not s.failed]
    found = (name for name, _ in separating(wrong, right))
    return next((name for name in found if not natural or name in PLAIN or name in FLAGS), "")
