"""A training step taken apart: what every part of it does with what it is given, and that the step is their sum.

Bounds for a whole network grow with its depth, and for some networks no useful one exists (a fitted image's p − 1, a
saturated unit, a unit at a kink). A part has a sharp one always. So the layers, the loss and the update are held
against torch one by one, each on exact inputs, and the step is held bit for bit against the same layers and loss,
called here one after the other: a correct part that is left out, scaled or called in the wrong place shows there.
"""

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import torchref
from experiments.backend import Array, Labels, Masks, Step
from torchref.oracle import criteria
from torchref.oracle.candidate import LayerCandidate, LossCandidate
from torchref.oracle.comparison import Comparison
from torchref.oracle.criteria import relative_distance
from torchref.oracle.layer import observe
from torchref.oracle.linear import LINEAR, SELECTION
from torchref.oracle.magnitude import SLOPES, Values
from torchref.oracle.network import force
from torchref.oracle.thinning import ThinnedCandidate
from torchref.pooling import MaxPool2d
from torchref.regularization import is_weight


class Composed(NamedTuple):
    """A step as its layers and its loss make it: the step, and the output of every layer by its name."""

    step: Step
    trace: dict[str, Array]


class Hyperparameters(NamedTuple):
    """Learning rate α, momentum μ and weight decay λ of one update."""

    lr: float
    momentum: float
    weight_decay: float


def compose(
    net: Any,
    criterion: LossCandidate,
    images: Array,
    labels: Labels,
    masks: Masks | None,
    plan: Sequence[Sequence[slice]] = ((slice(None),),),
) -> Composed:
    """Return the step of a hand-made network, by calling its layers and its loss one after the other.

    Parameters
    ----------
    net:
        `scratch.Sequential`; its own forward and backward pass are not used.
    criterion:
        The hand-made loss.
    images, labels, masks:
        As in `Backend.gradients`.
    plan:
        The parts of the batch whose gradients are added up, and for each the pieces of which it is itself the sum.
    """
    parts = []
    for part in plan:
        pieces = []
        for samples in part:
            kept = masks and {name: mask[samples] for name, mask in masks.items()}
            pieces.append(_compose_piece(net, criterion, images[samples], labels[samples], kept, len(images)))
        parts.append(_summed(pieces))
    return _summed(parts)


def _compose_piece(
    net: Any, criterion: LossCandidate, images: Array, labels: Labels, masks: Masks | None, batch: int
) -> Composed:
    """Return what some images of a batch contribute to its step."""
    caches, trace, signal = {}, {}, images
    layers = ThinnedCandidate(net, masks or {}).layers
    with np.errstate(over="ignore", invalid="ignore"):
        for name, layer in layers.items():
            signal, caches[name] = layer.forward(signal)
            trace[name] = signal
        loss, cache = criterion.forward(signal, labels)
        arriving, own = criterion.backward(cache), {}
        if len(images) < batch:  # the backends' losses are means
            share = signal.dtype.type(len(images) / batch)
            loss, arriving = loss * share, arriving * share
        for name, layer in reversed(layers.items()):
            arriving, own[name] = layer.backward(arriving, caches[name])
    grads = {f"{name}.{parameter}": grad for name in layers for parameter, grad in own[name].items()}
    return Composed(Step(loss, signal, grads), trace)


def _summed(composed: Sequence[Composed]) -> Composed:
    """Return the sum of steps over consecutive images: losses and gradients added up, outputs in a row."""
    if len(composed) == 1:
        return composed[0]
    steps = [one.step for one in composed]
    with np.errstate(over="ignore", invalid="ignore"):
        loss = functools.reduce(operator.add, [step.loss for step in steps])
        grads = {name: functools.reduce(operator.add, [step.grads[name] for step in steps]) for name in steps[0].grads}
    trace = {name: np.concatenate([one.trace[name] for one in composed]) for name in composed[0].trace}
    return Composed(Step(loss, np.concatenate([step.outputs for step in steps]), grads), trace)


def judge_step(step: Step, trace: Mapping[str, Array], composed: Composed) -> list[Comparison]:
    """Hold a step bit for bit against `compose`.

    Returns
    -------
    list
        One comparison each for "loss", "output/<layer>" and "grad/<name>"; where the bits differ, the ratio is
        max|a − t| / max|t|, infinite where that cannot be computed.
    """
    mine: dict[str, Any] = {"loss": np.float64(step.loss), "output": step.outputs}
    mine |= {f"output/{name}": y for name, y in trace.items()} | {f"grad/{name}": g for name, g in step.grads.items()}
    theirs: dict[str, Any] = {"loss": np.float64(composed.step.loss), "output": composed.step.outputs}
    theirs |= {f"output/{name}": y for name, y in composed.trace.items()}
    theirs |= {f"grad/{name}": g for name, g in composed.step.grads.items()}
    if list(mine) != list(theirs):
        fault = f"consists of {', '.join(mine)}; its layers make {', '.join(theirs)}"
        return [Comparison("names", "5 form", np.inf, fault)]
    found = []
    for name, tensor in theirs.items():
        exact = criteria.exact(name, mine[name], tensor)
        distance = np.inf if exact.fault else relative_distance(mine[name], tensor)
        found.append(Comparison(name, exact.criterion, 0.0 if exact.passed else distance, exact.fault))
    return found


def judge_layer(layer: LayerCandidate, reference: nn.Module, values: Values) -> list[Comparison]:
    """Hold one layer against torch on the oracle's exact input and upstream gradient: criteria 1, 2, 3 and 6.

    The truth of an activation is torch's in float64; mpmath's takes longer than the training. To a float32 layer it
    is exact; in float64 it errs by as much as the layer may, and the bound is twice criterion 3's.
    """
    if isinstance(reference, (*LINEAR, *SELECTION, MaxPool2d)):
        return force(layer, reference, values)
    if type(reference) not in SLOPES:
        raise NotImplementedError(f"no criterion is known for a layer of type {type(reference).__name__}")
    x, dy = (tensor.detach().cpu() for tensor in (values.x, values.dy))
    with np.errstate(over="ignore"):
        mine = observe(layer, np.array(x.numpy()), np.array(dy.numpy()))
    with torch.no_grad():
        wide = dy.double()
        y = reference(x.double())
        slope, bend = (rule(reference, y) for rule in SLOPES[type(reference)])
        size = y.abs()
        if isinstance(reference, torchref.Logistic) and reference.a != 1:  # exp amplifies the rounding of ax
            size = size * (1 + (reference.a * x.double()).abs() * (1 - y))
        truths = {"y": (y, size), "dx": (wide * slope, wide.abs() * (slope.abs() + bend * size))}
    if list(mine) != list(truths):
        fault = f"returns {', '.join(mine)}, the oracle {', '.join(truths)}"
        return [Comparison("names", "5 form", np.inf, fault)]
    programs = 2 if x.dtype == torch.float64 else 1
    return [
        criteria.elementwise(name, mine[name], truth.to(x.dtype), programs * condition)
        for name, (truth, condition) in truths.items()
    ]


def judge_update(
    before: Mapping[str, Array],
    velocity: Mapping[str, Array],
    grads: Mapping[str, Array],
    how: Hyperparameters,
    after: Mapping[str, Array],
    velocity_after: Mapping[str, Array],
) -> list[Comparison]:
    """Hold one update against torch's on the same parameters, velocities and gradients: criterion 2.

    S of a velocity is μ|v| + |g| + λ|p|, of a parameter |p| + α S_v; n is 1, as for a sum of a few terms.

    Parameters
    ----------
    before, velocity:
        Parameters and velocities by name before the update; without momentum there are no velocities.
    grads:
        The gradients, without the penalty's λW.
    how:
        The optimiser's settings at this update.
    after, velocity_after:
        What the hand-made optimiser made of them.
    """
    twin = torchref.SGD(*how)
    twin.load_state_dict({name: torch.from_numpy(np.array(v)) for name, v in velocity.items()})
    params = {name: torch.from_numpy(np.array(p)) for name, p in before.items()}
    twin.step(params, {name: torch.from_numpy(np.array(grads[name])) for name in params})
    velocities = twin.state_dict()
    if velocity_after.keys() != velocities.keys():
        fault = f"has the velocities {', '.join(velocity_after)}, the oracle {', '.join(velocities)}"
        return [Comparison("velocities", "5 form", np.inf, fault)]
    found, one = [], torch.tensor(1)
    for name, p in before.items():
        size = np.abs(np.float64(grads[name])) + how.weight_decay * is_weight(name) * np.abs(np.float64(p))
        if name in velocity:
            size += how.momentum * np.abs(np.float64(velocity[name]))
        if name in velocities:
            found.append(
                criteria.linear_operation(f"velocity/{name}", velocity_after[name], velocities[name], size, one)
            )
        size = np.abs(np.float64(p)) + how.lr * size
        found.append(criteria.linear_operation(f"param/{name}", after[name], params[name], size, one))
    return found
