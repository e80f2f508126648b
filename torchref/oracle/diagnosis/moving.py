"""Mistakes in layers that only move or drop values: flattening, the canvas, dropout."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from torchref.flatten import Flatten
from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.convolving import hypothesis
from torchref.oracle.diagnosis.hypothesis import Hypothesis, Seen
from torchref.oracle.diagnosis.ingredients import Leaves, batch, upstream
from torchref.oracle.kinds.kind import Trial
from torchref.oracle.thinning import Thinned
from torchref.padding import Canvas2d


def movements(tensor: str, sample: Seen) -> Iterator[Hypothesis]:
    """All that fits the layer."""
    reference = sample.trial.reference
    if isinstance(reference, Flatten):
        yield from flattened(tensor)
    if isinstance(reference, Canvas2d):
        yield from canvases(tensor)
    if isinstance(reference, Thinned):
        yield from dropouts(tensor, sample)


def flattened(tensor: str) -> Iterator[Hypothesis]:
    """The axes read in another order than rows of maps."""
    orders: list[tuple[int, ...]] = list(itertools.permutations((1, 2, 3)))
    named: dict[tuple[int, ...], tuple[str, str]] = {
        (3, 2, 1): ("order:fortran", "in Fortran order"),
        (2, 3, 1): ("order:channels-last", "with the channels inside (channels last)"),
    }
    for order in orders:
        if order == (1, 2, 3):
            continue
        code, what = named.get(order, ("swap:axes", f"with the axes in the order {(0, *order)}"))
        verb = "flattened" if tensor == "y" else "unflattened"

        def forward(trial: Trial, leaves: Leaves, order: tuple[int, ...] = order) -> Tensor:
            del trial
            x = leaves["x"]
            return x.permute(0, *order).reshape(len(x), -1)

        yield hypothesis(tensor, code, f"{{it}}: {verb} {what}", forward)
    if tensor == "dx":
        yield Hypothesis(
            "order:fortran",
            "{it}: unflattened in Fortran order of the batch too",
            lambda t: upstream(t).ravel().reshape(batch(t).shape, order="F"),
        )


def middle(room: Array, size: tuple[int, ...], corner: tuple[int, int] | None = None) -> Array:
    """A view of where the image lies in the canvas: in its middle, or at a place given."""
    top, left = corner or (int(c - s) // 2 for c, s in zip(room.shape[2:], size, strict=True))
    return room[:, :, top : top + size[0], left : left + size[1]]


def canvases(tensor: str) -> Iterator[Hypothesis]:
    """The image elsewhere on its canvas, another border."""

    def placed(trial: Trial, where: Callable[[Array, tuple[int, ...]], Array], value: float | None = None) -> Array:
        x = batch(trial)
        if tensor == "dx":
            return where(upstream(trial), x.shape[2:])
        value = trial.reference.value if value is None else value
        y = np.full(upstream(trial).shape, value, x.dtype)
        where(y, x.shape[2:])[...] = x
        return y

    code, says = ("padding:uncropped", "the canvas's border was not cropped, its top left corner is returned")
    if tensor == "y":
        code, says = "shift", "the image lies in the canvas's top left corner, not in its middle"
    yield Hypothesis(code, f"{{it}}: {says}", lambda t: placed(t, lambda room, size: middle(room, size, corner=(0, 0))))
    if tensor == "y":
        yield Hypothesis(
            "padding:value", "{it}: the border is 0, not the value given", lambda t: placed(t, middle, 0.0)
        )
    if tensor == "dx":
        yield Hypothesis("padding:uncropped", "{it}: the canvas's border was not cropped", upstream)


def dropouts(tensor: str, sample: Seen) -> Iterator[Hypothesis]:
    """The mask the other way round, missing, another one; the scale."""
    x = batch(sample.trial)
    if (x == 0).any() and (x < 0).any():  # dropped by an earlier layer; a rectifier leaves nothing below 0

        def earlier(trial: Trial) -> Array:
            source = batch(trial) if tensor == "y" else upstream(trial)
            return np.where(batch(trial) == 0, 0, source / (1 - float(trial.reference.dropout.p)))

        says = "{it}: the mask of an earlier layer is applied again, not this layer's"
        says += ", or none at all" if tensor == "y" else ""
        yield Hypothesis("mask:shared", says, earlier)

    def given(trial: Trial) -> tuple[Array, Array, float]:
        source = batch(trial) if tensor == "y" else upstream(trial)
        return source, trial.given["mask"], float(trial.reference.dropout.p)

    formulas: dict[str, tuple[str, Callable[[Array, Array, float], Array]]] = {
        "scale:missing": ("what is kept is not multiplied by 1/(1 − p)", lambda a, m, p: a * m),
        "scale:wrong": (
            "what is kept is multiplied by 1/p instead of 1/(1 − p)",
            lambda a, m, p: a * m / p if p else a * m * np.nan,
        ),
        "scale:wrong keep": ("what is kept is multiplied by 1 − p instead of divided", lambda a, m, p: a * m * (1 - p)),
        "scale:wrong p": ("what is kept is multiplied by p instead of 1/(1 − p)", lambda a, m, p: a * m * p),
        "scale:wrong twice": ("1/(1 − p) is applied twice", lambda a, m, p: a * m / (1 - p) ** 2),
        "mask:inverted": ("what should be kept is dropped, and the other way round", lambda a, m, p: a * ~m / (1 - p)),
        "mask:inverted unscaled": ("the mask is inverted, and nothing scaled", lambda a, m, p: a * ~m),
        "mask:ignored": ("the mask is not applied", lambda a, m, p: a),
        "mask:ignored scaled": ("the mask is not applied, the scale is", lambda a, m, p: a / (1 - p)),
    }
    for code, (says, formula) in formulas.items():

        def predict(trial: Trial, formula: Callable[[Array, Array, float], Array] = formula) -> Array:
            return formula(*given(trial))

        yield Hypothesis(code.split(" ")[0], f"{{it}}: {says}", predict)

    def redrawn(trial: Trial) -> Array:
        source, _, p = given(trial)
        return np.where(np.asarray(trial.mine[tensor]) == 0, 0, source / (1 - p))

    yield Hypothesis("mask:redrawn", "{it}: another mask is applied than the one of this pass", redrawn)
    yield Hypothesis(
        "nonfinite:swallowed",
        "{it}: NaN that is dropped comes out as 0, where 0·NaN is NaN",
        lambda t: np.where(given(t)[1], given(t)[0] / (1 - given(t)[2]), 0),
        strict=True,
    )
