"""Mistakes in what convolution and pooling do backward: windows put back where they came from."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from torch import nn

from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.convolving import linked
from torchref.oracle.diagnosis.hypothesis import Hypothesis, ImpossibleError
from torchref.oracle.diagnosis.ingredients import kernel, padding, stride, upstream
from torchref.oracle.kinds.kind import Trial
from torchref.pooling import AvgPool2d, Subsample2d


def columns(trial: Trial) -> Array:
    """The gradient of each window's entries, (N, C, kh, kw, H′, W′); of signals as of images of height 1."""
    if (weight := filters(trial)) is not None:
        dy = upstream(trial)
        dy = dy[:, :, None] if dy.ndim == 3 else dy
        return np.tensordot(dy, weight, (1, 0)).transpose(0, 3, 4, 5, 1, 2)
    return shares(trial)


def by_filter(trial: Trial) -> list[Array]:
    """The columns of each output channel, whose sum `columns` gives."""
    weight, dy = filters(trial), upstream(trial)
    if weight is None:
        raise ImpossibleError("no filters")
    dy = dy[:, :, None] if dy.ndim == 3 else dy
    return [np.einsum("cij,npq->ncijpq", weight[o], dy[:, o]) for o in range(len(weight))]


def filters(trial: Trial) -> Array | None:
    """A convolution's weight with its table, as images."""
    if not isinstance(trial.reference, nn.Conv1d | nn.Conv2d):
        return None
    weight: Array = linked(trial, trial.reference.weight.detach()).numpy()
    return weight[:, :, None] if weight.ndim == 3 else weight


def shares(trial: Trial) -> Array:
    """The columns of a sum or an average."""
    dy, module = upstream(trial), trial.reference
    if isinstance(module, Subsample2d):
        share = dy * module.weight.detach().numpy()[:, None, None]
    elif isinstance(module, AvgPool2d):
        share = dy / np.prod(kernel(trial)).astype(dy.dtype)
    else:
        raise ImpossibleError("no equal shares")
    spread: Array = share[:, :, None, None] * np.ones((1, 1, *kernel(trial), 1, 1), dy.dtype)
    return spread


class Plane:
    """Sizes in the plane: signals have height 1."""

    def __init__(self, trial: Trial) -> None:
        x = trial.given["x"]
        if x.ndim not in (3, 4):
            raise ImpossibleError("no windows")
        flat = x.ndim == 3
        self.size = (1, x.shape[2]) if flat else x.shape[2:]
        self.stride = (1, *stride(trial)) if flat else stride(trial)
        self.padding = (0, *padding(trial)) if flat else padding(trial)

    def empty(self, lead: tuple[int, ...]) -> Array:
        """A padded image."""
        return np.zeros((*lead, *(s + 2 * p for s, p in zip(self.size, self.padding, strict=True))))

    def cropped(self, padded: Array, top: int | None = None, left: int | None = None) -> Array:
        """The image from a padded one."""
        top, left = (p if at is None else at for at, p in zip((top, left), self.padding, strict=True))
        return padded[:, :, top : top + self.size[0], left : left + self.size[1]]


def scattered(trial: Trial, *, by_window: bool, summed: bool = True, write: str = "add", step: bool = True) -> Array:
    """A padded dx: tap by tap, or window by window; added, or written over what is there."""
    plane = Plane(trial)
    each = [columns(trial)] if summed else by_filter(trial)
    *_, kh, kw, rows, cols = each[0].shape
    sh, sw = plane.stride if step else (1, 1)
    padded = plane.empty(each[0].shape[:2])
    for part in each:
        if by_window:
            for p, q in np.ndindex(rows, cols):
                padded[:, :, p * sh : p * sh + kh, q * sw : q * sw + kw] = part[..., p, q]
        else:
            for i, j in np.ndindex(kh, kw):
                region = padded[:, :, i : i + sh * rows : sh, j : j + sw * cols : sw]
                region[...] = part[:, :, i, j] + (region if write == "add" else 0)
    return padded


def uses(trial: Trial) -> Array:
    """In how many windows each pixel of the padded image is."""
    plane, dy = Plane(trial), upstream(trial)
    rows, cols = (1, dy.shape[2]) if dy.ndim == 3 else dy.shape[2:]
    kh, kw = (1, *kernel(trial)) if dy.ndim == 3 else kernel(trial)
    (sh, sw), counts = plane.stride, plane.empty((1, 1))
    for i, j in np.ndindex(kh, kw):
        counts[:, :, i : i + sh * rows : sh, j : j + sw * cols : sw] += 1
    return counts


def _finished(trial: Trial, padded: Array, **at: int) -> Array:
    plane = Plane(trial)
    return np.ascontiguousarray(plane.cropped(padded, **at)).reshape(trial.given["x"].shape)


def overlaps(tensor: str) -> Iterator[Hypothesis]:
    """Dx where windows overlap, and at the border."""
    if tensor != "dx":
        return
    for by_window, summed in itertools.product((False, True), (True, False)):

        def predict(trial: Trial, by_window: bool = by_window, summed: bool = summed) -> Array:
            return _finished(trial, scattered(trial, by_window=by_window, summed=summed, write="over"))

        says = "{it}: where windows overlap the last one overwrites the others instead of being added"
        yield Hypothesis("overlap:overwritten", says, predict)
    simple: dict[str, tuple[str, Callable[[Trial], Array]]] = {
        "overlap:averaged": (
            "{it}: where windows overlap their gradients are averaged instead of added",
            lambda t: _finished(t, scattered(t, by_window=False) / np.maximum(uses(t), 1)),
        ),
        "stride:ignored": (
            "{it}: the stride is ignored when the windows are put back",
            lambda t: _finished(t, scattered(t, by_window=False, step=False)),
        ),
        "padding:uncropped": (
            "the border was not cropped after the scatter ({it} equals the oracle's shifted by the padding)",
            lambda t: _finished(t, scattered(t, by_window=False), top=0, left=0),
        ),
        "padding:uncropped rows": (
            "the border was cropped in columns only, not in rows",
            lambda t: _finished(t, scattered(t, by_window=False), top=0),
        ),
        "padding:uncropped columns": (
            "the border was cropped in rows only, not in columns",
            lambda t: _finished(t, scattered(t, by_window=False), left=0),
        ),
        "padding:uncropped whole": (
            "the border was not cropped: {it} has the shape of the padded input",
            lambda t: scattered(t, by_window=False),
        ),
        "pool:first-pixel": ("{it}: only the first pixel of each window receives the gradient", _first_pixel),
    }
    for code, (says, predict_simple) in simple.items():
        yield Hypothesis(code.split(" ")[0], says, predict_simple)


def _first_pixel(trial: Trial) -> Array:
    """The whole share of a window's first pixel, nothing to the others."""
    plane, parts = Plane(trial), shares(trial)
    rows, cols = parts.shape[-2:]
    (sh, sw), padded = plane.stride, plane.empty(parts.shape[:2])
    padded[:, :, : sh * rows : sh, : sw * cols : sw] += parts[:, :, 0, 0]
    return _finished(trial, padded)
