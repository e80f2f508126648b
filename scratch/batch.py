"""A batch in pieces: the loss and its gradient are sums over samples, so those of the pieces add up to the batch's.

Source: 批量学习, J = Σ J_i.
"""

import functools
import operator
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from scratch.module import Mask, Sequential
from scratch.validation import Array

Masks: TypeAlias = Mapping[str, Mask] | None
"""Which units stay, (N, units), by the names of the `Dropout` layers; None drops nothing."""


class Pass(NamedTuple):
    """One forward and backward pass: the loss, the output of the network (N, …), and ∂J/∂p by parameter name."""

    value: np.floating[Any]
    output: Array
    grads: dict[str, Array]


def gradients(
    net: Sequential, criterion: Any, x: Array, target: Any, masks: Masks = None, *, pieces: int = 1, of: int = 0
) -> Pass:
    """Forward and backward pass over samples that are all of a batch or a part of it.

    Parameters
    ----------
    net, criterion:
        A network, and a loss of `scratch.loss`.
    x, target, masks:
        Input of the network (N, …), what the criterion takes (N, …), and what drops units.
    pieces:
        How many go through the network one after the other, so that what they leave behind stays in the cache.
    of:
        Number of samples in the batch, by which a mean is divided; 0 for those that are here.
    """
    if pieces == 1 and of in (0, len(x)):
        return whole(net, criterion, x, target, masks)
    passes = [
        whole(net, criterion, x[piece], target[piece], take(masks, piece), of=of or len(x))
        for piece in cut(len(x), pieces)
    ]
    return add(passes)


def whole(net: Sequential, criterion: Any, x: Array, target: Any, masks: Masks = None, *, of: int = 0) -> Pass:
    """The pass over a batch, or over a part `of` a larger one, in one go."""
    output, cache = net.forward(x, masks)
    value, loss_cache = criterion.forward(output, target)
    doutput = criterion.backward(loss_cache)
    if of and criterion.reduction == "mean":  # the mean over the part is so much of the mean over the batch
        share = output.dtype.type(len(x) / of)
        value, doutput = value * share, doutput * share
    return Pass(value, output, net.gradients(doutput, cache))


def predict(net: Sequential, x: Array, *, pieces: int = 1) -> Array:
    """The output of the network (N, …), without caches for the way back."""
    return join([net.predict(x[piece]) for piece in cut(len(x), pieces)])


def take(masks: Masks, samples: slice) -> Masks:
    """The masks of these samples."""
    return masks and {name: mask[samples] for name, mask in masks.items()}


def cut(samples: int, parts: int) -> list[slice]:
    """So many parts in a row, as equal as can be and none empty; one, if there are no samples."""
    parts = max(1, min(parts, samples))
    return [slice(begin, end) for begin, end in pairwise(samples * part // parts for part in range(parts + 1))]


def add(passes: Sequence[Pass]) -> Pass:
    """The pass over a batch from those over its parts: losses and gradients added in their order, outputs in a row."""
    first, *rest = passes
    if not rest:
        return first
    # The first sum is a new array: the gradients of a pass may be read-only, or somebody else's.
    grads: dict[str, Array] = {name: grad + rest[0].grads[name] for name, grad in first.grads.items()}
    for other in rest[1:]:
        for name, grad in grads.items():
            grad += other.grads[name]
    value = functools.reduce(operator.add, (one.value for one in passes))
    return Pass(value, join([one.output for one in passes]), grads)


def join(outputs: Sequence[Array]) -> Array:
    """The samples of all parts in one array."""
    return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
