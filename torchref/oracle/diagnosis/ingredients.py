"""What the predictions are made of: the oracle run once more, on something else or with another forward pass."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.hypothesis import ImpossibleError
from torchref.oracle.kinds.kind import Trial

Leaves: TypeAlias = Mapping[str, Tensor]
"""By name: "x" and the parameters."""
Forward: TypeAlias = Callable[[Leaves], Tensor]


def plain(trial: Trial) -> Forward:
    """The oracle's own forward pass."""

    def forward(leaves: Leaves) -> Tensor:
        parameters = {name: leaf for name, leaf in leaves.items() if name != "x"}
        y: Tensor = functional_call(trial.reference, parameters, (leaves["x"],))
        return y

    return forward


def outcome(
    trial: Trial, tensor: str, forward: Forward | None = None, altered: Mapping[str, Array] = MappingProxyType({})
) -> Array:
    """What "y", "dx" or "grad <name>" is with another forward pass, or on other arrays ("x", "dy", a parameter).

    Gradients are with respect to what the oracle was given, through `forward`.

    Raises
    ------
    ImpossibleError
        If the output no longer has the shape of the upstream gradient.
    """
    given = {"x": trial.given["x"]} | {
        name: parameter.detach().cpu().numpy() for name, parameter in trial.reference.named_parameters()
    }
    given |= {name: array for name, array in altered.items() if name != "dy"}
    leaves = {name: to_tensor(array).requires_grad_() for name, array in given.items()}
    with torch.enable_grad():
        y = (forward or plain(trial))(leaves)
    dy = to_tensor(altered.get("dy", trial.given["dy"]))
    own = tensor == "y" and tuple(y.shape) == np.shape(trial.mine["y"])
    if not own and y.ndim == dy.ndim and y.shape[:2] == dy.shape[:2] and y.numel() == dy.numel():
        y = y.reshape(dy.shape)  # as code does that knows which shape the output must have
    if tensor == "y":
        return np.asarray(y.detach())
    name = "x" if tensor == "dx" else tensor.removeprefix("grad ")
    if name not in leaves or y.shape != dy.shape:
        raise ImpossibleError(tensor)
    (gradient,) = torch.autograd.grad(y, [leaves[name]], dy, allow_unused=True)
    return np.zeros_like(given[name]) if gradient is None else np.asarray(gradient)


def pair(value: Any, axes: int = 2) -> tuple[int, ...]:
    """A setting for each of the axes that a window slides along."""
    return tuple(value) if isinstance(value, tuple | list) else (value,) * axes


def kernel(trial: Trial) -> tuple[int, ...]:
    """The extent of the window. Raises `ImpossibleError` if there is none."""
    size = getattr(trial.reference, "kernel_size", None)
    if size is None:
        raise ImpossibleError("no window")
    return pair(size, trial.given["x"].ndim - 2)


def stride(trial: Trial) -> tuple[int, ...]:
    """From one window to the next. Raises `ImpossibleError` if there is none."""
    step = getattr(trial.reference, "stride", None)
    if step is None:
        raise ImpossibleError("no window")
    return pair(step, trial.given["x"].ndim - 2)


def padding(trial: Trial) -> tuple[int, ...]:
    """Of each axis, on each side. Raises `ImpossibleError` for torch's "same"."""
    border = getattr(trial.reference, "padding", 0)
    if isinstance(border, str):
        raise ImpossibleError("padding by name")
    return pair(border, trial.given["x"].ndim - 2)


def batch(trial: Trial) -> Array:
    """What runs through: x, or a loss's output. Raises `ImpossibleError` if there is neither."""
    for name in ("x", "output"):
        if name in trial.given:
            return trial.given[name]
    raise ImpossibleError("no batch")


def upstream(trial: Trial) -> Array:
    """The upstream gradient dy, of the output's shape. Raises `ImpossibleError` if there is none."""
    if "dy" not in trial.given:
        raise ImpossibleError("no dy")
    return trial.given["dy"]


def places(trial: Trial) -> int:
    """Positions of the window: H′·W′. Raises `ImpossibleError` where there are no maps."""
    sizes = upstream(trial).shape[2:]
    if not sizes:
        raise ImpossibleError("no places")
    return math.prod(sizes)


def units(trial: Trial, axis: int = 1) -> int:
    """Classes, units or channels of the output. Raises `ImpossibleError` where there is no such axis."""
    shape = trial.given["output"].shape if "output" in trial.given else upstream(trial).shape
    if len(shape) <= axis:
        raise ImpossibleError("no units")
    return int(shape[axis])
