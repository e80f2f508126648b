"""Mistakes in linear layers and convolutions: the filter, the bias, stride and padding."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.hypothesis import Hypothesis, ImpossibleError
from torchref.oracle.diagnosis.ingredients import Forward, Leaves, outcome, padding, stride
from torchref.oracle.kinds.kind import Trial

Change = Callable[[Tensor], Tensor]


def applied(trial: Trial, leaves: Leaves, **other: Any) -> Tensor:
    """The layer's formula with other ingredients: x, weight (the table is applied), bias, stride, padding."""
    x, weight = (other[name] if name in other else leaves[name] for name in ("x", "weight"))
    bias = other.get("bias", leaves.get("bias"))
    if isinstance(trial.reference, nn.Linear):
        return F.linear(x, weight, bias)
    if "weight" not in other:
        weight = linked(trial, weight, **other)
    module, steps = trial.reference, (other.get("stride", stride(trial)), other.get("padding", padding(trial)))
    convolve = F.conv2d if weight.ndim == 4 else F.conv1d
    return convolve(x, weight, bias, *steps, module.dilation, module.groups)


def linked(trial: Trial, weight: Tensor, **other: Any) -> Tensor:
    """The weight times the layer's table of connections, or another one."""
    table = other.get("table", getattr(trial.reference, "connections", None))
    return weight if table is None else weight * table.reshape(*table.shape, *(1,) * (weight.ndim - 2))


def hypothesis(tensor: str, code: str, says: str, forward: Callable[[Trial, Leaves], Tensor]) -> Hypothesis:
    """What follows from another forward pass, for whichever tensor is wrong."""

    def predict(trial: Trial) -> Array:
        bound: Forward = lambda leaves: forward(trial, leaves)  # noqa: E731
        return outcome(trial, tensor, bound)

    return Hypothesis(code, says, predict)


def weights(tensor: str) -> Iterator[Hypothesis]:
    """The filter turned, mirrored or cut."""
    changes: dict[str, tuple[str, Change]] = {
        "flip:kernel": ("the filter is mirrored along both axes (a true convolution)", _mirrored),
        "flip:rows": ("the filter is mirrored top to bottom", lambda w: _spatial(w).flip(2)),
        "flip:columns": ("the filter is mirrored left to right", lambda w: _spatial(w).flip(w.ndim - 1)),
        "swap:transposed": ("the weight is transposed where it is square", _transposed),
        "swap:axes": ("input and output channels of the weight are exchanged", _exchanged),
        "order:channels-last": ("the windows lie with the channels last, the filter with the channels first", _inside),
        "taps:last-skipped": ("the last of the taps (or features) is left out", _last_skipped),
        "taps:last-skipped rows": ("the last row of the filter is left out", lambda w: _without(_spatial(w), 2)),
        "taps:last-skipped columns": (
            "the last column of the filter is left out",
            lambda w: _without(_spatial(w), w.ndim - 1),
        ),
        "taps:last-skipped channels": ("the last input channel is left out", lambda w: _without(w, 1)),
        "channels:first": ("only the first input channel is used", lambda w: _first(w, 1)),
    }
    for most in (2, 4, 8, 16, 32, 64, 128):
        says = f"only the first {most} input channels (or features) are used"
        changes[f"channels:some {most}"] = (says, functools.partial(_first, most=most))
    for code, (says, change) in changes.items():

        def forward(trial: Trial, leaves: Leaves, change: Change = change) -> Tensor:
            return applied(trial, leaves, weight=change(linked(trial, leaves["weight"])))

        yield hypothesis(tensor, code.split(" ")[0], f"{{it}}: {says}", forward)


def _spatial(weight: Tensor) -> Tensor:
    if weight.ndim < 4:
        raise ImpossibleError("no rows and columns")
    return weight


def _mirrored(weight: Tensor) -> Tensor:
    if weight.ndim < 3:
        raise ImpossibleError("no filter")
    return weight.flip(tuple(range(2, weight.ndim)))


def _transposed(weight: Tensor) -> Tensor:
    square = weight.shape[-1] == weight.shape[-2]
    return weight.transpose(-1, -2) if square and weight.ndim != 3 else weight


def _exchanged(weight: Tensor) -> Tensor:
    return weight.transpose(0, 1) if weight.shape[0] == weight.shape[1] and weight.ndim > 2 else weight


def _inside(weight: Tensor) -> Tensor:
    if weight.ndim < 3:
        raise ImpossibleError("no filter")
    out, channels, *extent = weight.shape
    return weight.reshape(out, *extent, channels).movedim(-1, 1)


def _last_skipped(weight: Tensor) -> Tensor:
    if weight.ndim == 2:
        return _without(weight, 1)
    taps = weight.flatten(2)
    return _without(taps, 2).reshape(weight.shape)


def _without(weight: Tensor, axis: int) -> Tensor:
    """Without the last along an axis, unless that is all there is."""
    size = weight.shape[axis]
    keep = torch.arange(size) < max(1, size - 1)
    return weight * keep.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])


def _first(weight: Tensor, most: int) -> Tensor:
    keep = torch.arange(weight.shape[1]) < most
    return weight * keep.reshape(1, -1, *(1,) * (weight.ndim - 2))


def biases(tensor: str) -> Iterator[Hypothesis]:
    """The bias left out, added too often."""
    factors: dict[str, tuple[str, Callable[[Leaves], float]]] = {
        "bias:missing": ("the bias is not added", lambda leaves: 0),
        "bias:doubled": ("the bias is added twice", lambda leaves: 2),
        "bias:negated": ("the bias is subtracted", lambda leaves: -1),
        "bias:per-tap": (
            "the bias is added once for each tap of the filter",
            lambda leaves: leaves["weight"][0, 0].numel(),
        ),
        "bias:per-product": (
            "the bias is added once for each product in the sum",
            lambda leaves: leaves["weight"][0].numel(),
        ),
    }
    for code, (says, factor) in factors.items():

        def forward(trial: Trial, leaves: Leaves, factor: Callable[[Leaves], float] = factor) -> Tensor:
            if "bias" not in leaves:
                return applied(trial, leaves)
            return applied(trial, leaves, bias=leaves["bias"] * factor(leaves))

        yield hypothesis(tensor, code, f"{{it}}: {says}", forward)


def borders(tensor: str) -> Iterator[Hypothesis]:
    """Padding and stride exchanged, left out, of another kind."""
    yield hypothesis(
        tensor,
        "padding:ignored",
        "{it}: the padding is ignored",
        lambda t, leaves: applied(t, leaves, padding=tuple(0 for _ in padding(t))),
    )
    yield hypothesis(
        tensor,
        "padding:swapped",
        "{it}: the paddings of rows and columns are exchanged",
        lambda t, leaves: applied(t, leaves, padding=padding(t)[::-1]),
    )
    yield hypothesis(
        tensor,
        "stride:swapped",
        "{it}: the strides of rows and columns are exchanged",
        lambda t, leaves: applied(t, leaves, stride=stride(t)[::-1]),
    )
    yield hypothesis(
        tensor,
        "stride:ignored",
        "{it}: the stride is ignored",
        lambda t, leaves: applied(t, leaves, stride=tuple(1 for _ in stride(t))),
    )
    yield hypothesis(
        tensor,
        "padding:clipped",
        "{it}: the padding is no larger than the filter",
        lambda t, leaves: applied(t, leaves, padding=tuple(map(min, padding(t), t.reference.kernel_size))),
    )
    for says, before, after in (
        ("the whole padding is above and left, none below and right", 2, 0),
        ("the whole padding is below and right, none above and left", 0, 2),
    ):
        yield hypothesis(tensor, "padding:one-side", f"{{it}}: {says}", _padded(before, after))
    for says, before, after in (("above and left only", 1, 0), ("below and right only", 0, 1)):
        yield hypothesis(tensor, "padding:one-side", f"{{it}}: the padding is {says}", _padded(before, after))
    for mode, says in {"replicate": "repeats the border", "reflect": "mirrors", "circular": "wraps around"}.items():
        code = "padding:edge" if mode == "replicate" else f"padding:{mode}"
        yield hypothesis(tensor, code, f"{{it}}: the padding {says} instead of zeros", _padded(1, 1, mode))
    yield hypothesis(
        tensor, "stride:end-aligned", "{it}: the windows are aligned to the end, not to the start", _end_aligned
    )
    for code, says, upright in (
        ("padding:swapped", "the padding lies above and below the signal, not at its ends", False),
        ("swap:axes", "the signal stands upright: stride and padding lie across it, not along it", True),
    ):
        yield hypothesis(tensor, code, f"{{it}}: {says}", _across(upright=upright))


def _padded(before: int, after: int, mode: str = "constant") -> Callable[[Trial, Leaves], Tensor]:
    def forward(trial: Trial, leaves: Leaves) -> Tensor:
        sides = [side for p in reversed(padding(trial)) for side in (before * p, after * p)]
        x = F.pad(leaves["x"], sides, mode=mode)
        return applied(trial, leaves, x=x, padding=tuple(0 for _ in padding(trial)))

    return forward


def _across(*, upright: bool) -> Callable[[Trial, Leaves], Tensor]:
    """A signal as an image of height (or width) 1, padded along the wrong axis."""

    def forward(trial: Trial, leaves: Leaves) -> Tensor:
        if leaves["x"].ndim != 3:
            raise ImpossibleError("no signal")
        axis = 3 if upright else 2
        x, weight = leaves["x"].unsqueeze(axis), linked(trial, leaves["weight"]).unsqueeze(axis)
        (step,), (border,) = stride(trial), padding(trial)
        steps, borders = ((1, step), (0, border)) if upright else ((1, step), (border, 0))
        return F.conv2d(x, weight, leaves.get("bias"), steps, borders).flatten(2)

    return forward


def _end_aligned(trial: Trial, leaves: Leaves) -> Tensor:
    x = leaves["x"]
    sides = [side for p in reversed(padding(trial)) for side in (p, p)]
    x = F.pad(x, sides)
    for axis, (k, s) in enumerate(zip(trial.reference.kernel_size, stride(trial), strict=True), start=2):
        rest = (x.shape[axis] - k) % s
        x = x.narrow(axis, rest, x.shape[axis] - rest)
    return applied(trial, leaves, x=x, padding=tuple(0 for _ in padding(trial)))
