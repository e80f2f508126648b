"""Torch's own layers and losses as what the analytic criteria know: torchref's, or those that need no translation."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import torchref

ITSELF = frozenset(
    {
        nn.Linear,
        nn.Conv1d,
        nn.Conv2d,
        nn.MSELoss,
        torchref.Linear,
        torchref.Conv1d,
        torchref.Conv2d,
        torchref.AvgPool2d,
        torchref.MaxPool2d,
        torchref.Subsample2d,
        torchref.Flatten,
        torchref.Canvas2d,
        torchref.Dropout,
        torchref.Threshold,
        torchref.Logistic,
        torchref.Tanh,
        torchref.ReLU,
        torchref.Identity,
        torchref.Softmax,
        torchref.SquaredError,
        torchref.CrossEntropy,
    }
)
"""Types that have a rule of their own, as they are: of convolutions with every stride, padding, dilation and group."""


def understood(module: nn.Module) -> nn.Module | None:
    """What computes the same as `module`, shares its parameters under the same names, and has criteria of its own.

    None if there is no such thing: a layer of another type, with a setting that torchref's has not, in a training mode
    that draws random numbers, with hooks, or a network with such a layer in it. Networks (`nn.Sequential`) are
    translated layer by layer. A softmax is understood over the units of vectors (N, K) only: `agrees` tells of maps.
    """
    if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
        return None
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        network = nn.Sequential()
        for name, layer in module._modules.items():
            known = None if layer is None else understood(layer)
            if known is None:
                return None
            network.add_module(name, known)
        return network
    if type(module) in ITSELF:
        return module if getattr(module, "reduction", "mean") in ("mean", "sum") else None
    translate = TRANSLATIONS.get(type(module))
    return None if translate is None else translate(module)


def agrees(module: nn.Module, known: nn.Module, *inputs: Tensor) -> bool:
    """Whether the two give the same output, bit for bit, for these inputs (their shapes and kinds are in question)."""
    with torch.no_grad():
        theirs = module(*(tensor.clone() for tensor in inputs))
        try:
            mine = known(*inputs)
        except (TypeError, ValueError):
            return False
    return bool(theirs.shape == mine.shape and theirs.dtype == mine.dtype and theirs.equal(mine))


def _softmax(layer: Any) -> nn.Module | None:
    return torchref.Softmax() if layer.dim in (1, -1) else None


def _flatten(layer: Any) -> nn.Module | None:
    return torchref.Flatten() if (layer.start_dim, layer.end_dim) == (1, -1) else None


def _max_pool(layer: Any) -> nn.Module | None:
    plain = (layer.padding, layer.dilation) in ((0, 1), ((0, 0), (1, 1)))
    if not plain or layer.ceil_mode or layer.return_indices:
        return None
    return torchref.MaxPool2d(layer.kernel_size, layer.stride)


def _average_pool(layer: Any) -> nn.Module | None:
    if layer.padding not in (0, (0, 0)) or layer.ceil_mode or layer.divisor_override is not None:
        return None
    return torchref.AvgPool2d(layer.kernel_size, layer.stride)


def _dropout(layer: Any) -> nn.Module | None:
    return None if layer.training and layer.p else torchref.Dropout(0.0)


def _cross_entropy(loss: Any) -> nn.Module | None:
    plain = loss.weight is None and loss.label_smoothing == 0 and loss.reduction in ("mean", "sum")
    return torchref.CrossEntropy(loss.reduction) if plain else None


TRANSLATIONS: dict[type[nn.Module], Callable[[Any], nn.Module | None]] = {
    nn.Tanh: lambda _: torchref.Tanh(),
    nn.Sigmoid: lambda _: torchref.Logistic(),
    nn.ReLU: lambda _: torchref.ReLU(),
    nn.Identity: lambda _: torchref.Identity(),
    nn.Softmax: _softmax,
    nn.Flatten: _flatten,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.Dropout: _dropout,
    nn.Dropout2d: _dropout,
    nn.CrossEntropyLoss: _cross_entropy,
}
"""By exact type: a subclass may compute something else."""
