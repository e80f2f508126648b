"""A batch in pieces: the loss and its gradient are sums over samples, so those of the pieces add up to the batch's.

Source: 批量学习, J = Σ J_i.
"""

import itertools
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from scratch.capture import Captured
from scratch.module import Sequential
from scratch.passes import Masks, Pass, through
from scratch.validation import Array, check_array, check_mapping, is_array

Network: TypeAlias = Sequential | Captured
"""A network, or the recording that stands for one."""


def gradients(
    net: Network, criterion: Any, x: Array, target: Any, masks: Masks = None, *, pieces: int = 1, of: int = 0
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

    Raises
    ------
    TypeError, ValueError
        As the network and the loss.
    """
    if pieces == 1 and of in (0, len(x)):
        return whole(net, criterion, x, target, masks)
    check_samples(x, target, masks)
    passes = (
        whole(net, criterion, x[piece], target[piece], take(masks, piece), of=of or len(x))
        for piece in cut(len(x), pieces)
    )
    return add(itertools.chain([kept(next(passes))], passes))


def whole(net: Network, criterion: Any, x: Array, target: Any, masks: Masks = None, *, of: int = 0) -> Pass:
    """The pass over a batch, or over a part `of` a larger one, in one go; a recording lends its gradients."""
    # The mean over the part is so much of the mean over the batch.
    share = len(x) / of if of and criterion.reduction == "mean" else 1
    if isinstance(net, Captured):
        return net.through(criterion, x, target, masks, share=share)
    return through(net, criterion, x, target, masks, share=share)


def kept(one: Pass) -> Pass:
    """The same pass with gradients of its own: those of a recording, read-only, are good until it is replayed."""
    return one._replace(
        grads={name: grad if grad.flags.writeable else grad.copy("K") for name, grad in one.grads.items()}
    )


def lent(one: Pass) -> Pass:
    """The same pass with gradients that are all read-only, whether they will be overwritten or not."""
    for grad in one.grads.values():
        grad.flags.writeable = False
    return one


def predict(net: Network, x: Array, *, pieces: int = 1) -> Array:
    """The output of the network (N, …), without caches for the way back."""
    return join([net.predict(x[piece]) for piece in cut(len(x), pieces)])


def check_samples(x: Array, target: Any, masks: Masks) -> None:
    """Raise unless target and masks are arrays of as many samples as x: what is cut into parts would fit even so."""
    check_array("x", x)
    check_mapping("masks", masks or {})
    for name, of_samples in {"target": target, **(masks or {})}.items():
        if not is_array(of_samples):
            raise TypeError(f"{name} is a {type(of_samples).__name__}, expected a NumPy array")
        if of_samples.dtype.hasobject:
            raise TypeError(f"{name} has dtype {of_samples.dtype}, expected numbers")
        if of_samples.shape[:1] != x.shape[:1]:
            raise ValueError(f"{name} has shape {of_samples.shape}, expected the {len(x)} samples of x")


def take(masks: Masks, samples: slice) -> Masks:
    """The masks of these samples."""
    return masks and {name: mask[samples] for name, mask in masks.items()}


def cut(samples: int, parts: int) -> list[slice]:
    """So many parts in a row, as equal as can be and none empty; one, if there are no samples."""
    parts = max(1, min(parts, samples))
    return [slice(begin, end) for begin, end in pairwise(samples * part // parts for part in range(parts + 1))]


def add(passes: Iterable[Pass]) -> Pass:
    """The pass over a batch from those over its parts: losses and gradients added in their order, outputs in a row.

    A pass that is made only when its turn comes has not to be kept until the others are there.
    """
    rest = iter(passes)
    value, output, grads = next(rest)
    outputs, sums = [output], dict[str, Array]()
    for other in rest:
        value = value + other.value
        outputs.append(other.output)
        # The first sum is a new array: the gradients of a pass may be read-only, or somebody else's.
        grads = sums = {name: np.add(grad, other.grads[name], out=sums.get(name)) for name, grad in grads.items()}
    return Pass(value, join(outputs), grads)


def join(outputs: Sequence[Array]) -> Array:
    """The samples of all parts in one array."""
    return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
