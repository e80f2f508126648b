"""One way of a batch through a network and back: the loss and its gradients."""

from collections.abc import Mapping
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


def through(
    net: Sequential,
    criterion: Any,
    x: Array,
    target: Any,
    masks: Masks = None,
    *,
    share: float = 1,
    unchecked: bool = False,
) -> Pass:
    """There and back in one go.

    Parameters
    ----------
    net, criterion:
        A network, and a loss of `scratch.loss`.
    x, target, masks:
        Input of the network (N, …), what the criterion takes (N, …), and what drops units.
    share:
        What loss and gradients are multiplied by: the samples' share in a batch over which the criterion takes a mean.
    unchecked:
        Whether the target is known to be one that the criterion does not refuse.

    Raises
    ------
    TypeError, ValueError
        As the network and the loss.
    """
    output, cache = net.forward(x, masks)
    value, loss_cache = (criterion.unchecked if unchecked else criterion.forward)(output, target)
    doutput = criterion.backward(loss_cache)
    if share != 1:
        value, doutput = value * output.dtype.type(share), doutput * output.dtype.type(share)
    return Pass(value, output, net.gradients(doutput, cache))
