"""The error signals of a network, δ^(l) = ∂J/∂z^(l) of every layer: by the slide's recursion, and by autograd."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from experiments.backend import Array, Labels
from experiments.lecture.lab import Wing


class Signals(NamedTuple):
    """One backward pass, the first layer first: δ^(l) (N, n^l) and ∂J/∂W^(l) of all layers, f′(z^(l)) of the hidden."""

    delta: list[Array]
    weight: list[Array]
    slope: list[Array]


class Sizes(NamedTuple):
    """What is kept of the signals, per layer: arrays (L,) of one network, (seeds, L) of many.

    `delta` is ‖δ^(l)‖ of a sample (root mean square over the batch), `weight` is ‖∂J/∂W^(l)‖, `bound` what f′ ≤ its
    peak leaves of δ at most, f′·‖W^(l+1)‖₂, and `flat` the share of units with f′ below a twentieth of its peak.
    """

    delta: Array
    weight: Array
    bound: Array
    flat: Array


def backward(wing: Wing, net: Any, x: Array, labels: Labels) -> Signals:
    """The signals of the mean loss: layer by layer as the slide has it, or as autograd finds them."""
    criterion = wing.library.CrossEntropy()
    found = Signals([], [], [])
    if wing.name == "scratch":
        outputs, cache = net.forward(x)
        dy = criterion.backward(criterion.forward(outputs, labels)[1])
        for name, layer in reversed(net.layers.items()):
            below, grads = layer.backward(dy, cache.layers[name])
            if grads:
                found.delta.insert(0, dy)
                found.weight.insert(0, grads["weight"])
            else:
                found.slope.insert(0, layer.backward(np.ones_like(dy), cache.layers[name])[0])
            dy = below
        return found
    a, z, weights = wing.give(x), [], []
    for layer in net:
        below, a = a, layer(a)
        if isinstance(layer, wing.library.Linear):
            z.append(a)
            weights.append(layer.weight)
        else:
            found.slope.append(wing.take(torch.autograd.grad(a.sum(), below, retain_graph=True)[0]))
    grads = [wing.take(grad) for grad in torch.autograd.grad(criterion(a, wing.give(labels)), [*z, *weights])]
    return Signals(grads[: len(z)], grads[len(z) :], found.slope)


def sizes_of(signals: Signals, steepest: float, norms: Array) -> Sizes:
    """What is kept of one network's signals."""
    samples = len(signals.delta[0])
    return Sizes(
        np.array([np.linalg.norm(delta) for delta in signals.delta]) * math.sqrt(samples),
        np.array([np.linalg.norm(weight) for weight in signals.weight]),
        steepest * norms,
        np.array([(slope < steepest / 20).mean() for slope in signals.slope]),
    )


def together(sizes: Sequence[Sizes]) -> Sizes:
    """Put the seeds on an axis in front."""
    return Sizes(*map(np.stack, zip(*sizes, strict=True)))


def factor(sizes: Sizes) -> Array:
    """Geometric mean of ‖δ^(l)‖ / ‖δ^(l+1)‖ over the hidden layers, per seed."""
    hidden = sizes.delta[:, :-1]
    return np.asarray((hidden[:, 0] / hidden[:, -1]) ** (1 / (hidden.shape[1] - 1)))
