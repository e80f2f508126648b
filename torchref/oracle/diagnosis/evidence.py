"""What is known about an error, whether or not it is explained."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.conditions import common
from torchref.oracle.diagnosis.hypothesis import ImpossibleError, Seen, error
from torchref.oracle.diagnosis.outputs import told
from torchref.oracle.diagnosis.scattering import Plane, uses

AXES = {
    4: ("sample", "channel", "row", "column"),
    3: ("sample", "channel", "place"),
    2: ("row", "column"),
    1: ("entry",),
}
PLURALS = {"entry": "entries", "class": "classes"}


def wrong_entries(s: Seen) -> Array:
    """Where a tensor of the right shape is wrong by more than rounding."""
    with np.errstate(invalid="ignore"):
        differs = ~(np.abs(s.mine - s.oracle) <= s.floor)
    wrong: Array = differs & ~(np.isnan(s.mine) & np.isnan(s.oracle)) & ~(s.mine == s.oracle)
    return wrong


def evidence(looked: Sequence[Seen]) -> tuple[str, ...]:
    """What the wrong trials have in common, how many entries, where, and how they relate to the oracle's."""
    failed = [s for s in looked if s.failed]
    if not failed:
        return ()
    apart = common(looked)
    lines = [f"in all runs in which it is wrong, and in no other, {apart}"] if apart else []
    sample = next((s for s in failed if s.finite), failed[0])
    said = f"in {sample.trial.case.slug} ({sample.trial.variety}, {sample.trial.dtype})"
    if sample.mine.shape != sample.oracle.shape:
        return (*lines, f"{said} the shape is {sample.mine.shape}, the oracle's {sample.oracle.shape}")
    lines += [f"{said} {line}" for line in (*_where(sample), *_relation(sample))]
    return (*lines, *_elsewhere(sample, failed)) if sample.oracle.size == 1 else tuple(lines)


def _elsewhere(sample: Seen, failed: Sequence[Seen]) -> Iterator[str]:
    """The ratio in other cases, where one has but one entry: what it depends on is seen in several only."""
    seen = {sample.trial.case.slug}
    for s in failed:
        slug, sizes = s.trial.case.slug, (s.mine.size, s.oracle.size)
        if slug not in seen and sizes == (1, 1) and s.finite and s.oracle.all() and len(seen) < CASES:
            seen.add(slug)
            ratio = told(s.mine.item() / s.oracle.item())
            yield f"in {slug} ({s.trial.variety}, {s.trial.dtype}) mine/oracle is {ratio}"


CASES = 4
"""So many ratios are shown of what has one entry."""


def _where(s: Seen) -> Iterator[str]:
    wrong = wrong_entries(s)
    yield f"{int(wrong.sum())} of {wrong.size} entries are wrong, by at most {error(s):.3g}"
    for axis, name in enumerate(_axes(s)):
        others = tuple(a for a in range(wrong.ndim) if a != axis)
        guilty = np.flatnonzero(wrong.any(others))
        if 0 < len(guilty) < wrong.shape[axis]:
            listed = ", ".join(map(str, guilty[:6])) + (", …" if len(guilty) > 6 else "")
            yield f"only {PLURALS.get(name, f'{name}s') if len(guilty) > 1 else name} {listed} of {wrong.shape[axis]}"


def _axes(s: Seen) -> tuple[str, ...]:
    """What the axes of a tensor are called, as far as its trial tells."""
    given, names = s.trial.given, AXES.get(s.oracle.ndim, ())
    if "output" in given:
        return ("sample", "class")[: s.oracle.ndim]
    if any(name.startswith("start ") for name in given):  # the parameter after each step
        return ("step", *(AXES[s.oracle.ndim - 1] if s.oracle.ndim in (2, 3) else ()))
    if s.oracle.ndim > 2 and {"x", "weight"} <= given.keys() and given["weight"].shape == s.oracle.shape:
        return ("output", "input", *names[2:])
    return names


def _relation(s: Seen) -> Iterator[str]:
    wrong = wrong_entries(s) & np.isfinite(s.mine) & np.isfinite(s.oracle) & (s.oracle != 0)
    mine, oracle = s.mine[wrong], s.oracle[wrong]
    if len(mine) == 0:
        return
    ratio = mine / oracle
    low, middle, high = np.quantile(ratio, (0.1, 0.5, 0.9))
    if told(low) == told(high):
        yield f"mine/oracle is {told(middle)}"
    else:
        yield f"mine/oracle is {told(middle)} in the middle, from {told(low)} to {told(high)} for most"
    if len(mine) > 2 and np.std(mine) > 0 and np.std(oracle) > 0:
        yield f"the correlation with the oracle is {np.corrcoef(mine, oracle)[0, 1]:.3f}"


Place = Callable[[Seen], Array | None]


def _windows(s: Seen) -> Array | None:
    """In how many windows each pixel of dx is; None where there are none."""
    x = s.trial.given.get("x")
    if x is None or s.oracle.shape != x.shape:
        return None
    try:
        flat = Plane(s.trial).cropped(uses(s.trial))
    except ImpossibleError:
        return None
    return np.broadcast_to(flat.reshape(1, 1, *x.shape[2:]), x.shape)


def _edge(s: Seen) -> Array | None:
    if s.oracle.ndim < 3:
        return None
    mask = np.zeros(s.oracle.shape[2:], bool)
    for axis in range(mask.ndim):
        for end in (0, -1):
            index: list[slice | int] = [slice(None)] * mask.ndim
            index[axis] = end
            mask[tuple(index)] = True
    return np.broadcast_to(mask, s.oracle.shape)


def _overlapping(s: Seen) -> Array | None:
    counts = _windows(s)
    return None if counts is None else counts > 1


def _unused(s: Seen) -> Array | None:
    counts = _windows(s)
    return None if counts is None else counts == 0


def _sample(at: int) -> Place:
    def place(s: Seen) -> Array | None:
        if s.oracle.ndim < 2 or "x" not in s.trial.given or len(s.oracle) != len(s.trial.given["x"]):
            return None
        mask = np.zeros(s.oracle.shape, bool)
        mask[at] = True
        return mask

    return place


def _zeros(s: Seen) -> Array | None:
    x = s.trial.given.get("x")
    return None if x is None or x.shape != s.oracle.shape else x == 0


def _absent(s: Seen) -> Array | None:
    return s.where


PLACES: dict[str, tuple[str, Place]] = {
    "location:absent-links": ("it is wrong at absent links, whose gradient must be exactly 0", _absent),
    "location:zeros": ("it is wrong exactly where x is 0", _zeros),
    "location:last-rows": ("it is wrong exactly at the pixels that belong to no window", _unused),
    "location:overlaps": ("it is wrong exactly where windows overlap", _overlapping),
    "location:one-sample": ("it is wrong in the last sample only", _sample(-1)),
    "location:one-sample first": ("it is wrong in the first sample only", _sample(0)),
    "location:borders": ("it is wrong at the border only", _edge),
}
"""By code: what is said of it, and where the errors must be."""


def located(place: Place, looked: Sequence[Seen]) -> bool:
    """Whether the errors of all trials that failed lie at one place, and fill it, and it is not everywhere."""
    failed = [s for s in looked if s.failed]
    if not failed or any(s.mine.shape != s.oracle.shape for s in failed):
        return False
    part = 1.0
    for s in failed:
        mask, wrong = place(s), wrong_entries(s) if s.where is None else s.mine != 0
        if mask is None or not wrong.any() or (wrong & ~mask).any() or wrong.sum() < 0.8 * mask.sum():
            return False
        part = min(part, float(mask.mean()))
    return part <= 0.6  # most of a small tensor lies at its border
