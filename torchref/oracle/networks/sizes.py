"""S of a layer in a chain: by its rule, or for what has none measured by disturbing it (criterion 9)."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from torchref.activation import Softmax
from torchref.oracle import criteria, magnitude
from torchref.oracle.linear import LINEAR, SELECTION
from torchref.oracle.magnitude import SLOPES, Backward, Values
from torchref.oracle.measured import DRAWS, STEPS, Disturbed, differentiate, measure
from torchref.oracle.network import near_kink
from torchref.pooling import MaxPool2d

RULED: tuple[type[nn.Module], ...] = (*LINEAR, *SELECTION, *SLOPES, Softmax, MaxPool2d)
"""Layers that have a rule of their own."""
FACTOR = criteria.MEASURED / criteria.NETWORK
"""Makes of what criterion 9 measures what criterion 4 multiplies."""


def forward(layer: nn.Module, x: Tensor, y: Tensor, sx: Tensor) -> Tensor:
    """S_y of a layer, in float64."""
    if isinstance(layer, RULED):
        return magnitude.forward(layer, x, y, sx)
    # In float64 to its last digit: y itself, from a float32 run, is off by more than the whole disturbance.
    exact = differentiate(copy.deepcopy(layer).double(), [x], torch.zeros_like(y)).named()["y"]
    return _spread([(moved["y"] - exact) / step for moved, step in _moved(layer, x, torch.zeros_like(y), sx, None)], y)


def backward(layer: nn.Module, values: Values, sx: Tensor, sy: Tensor, sdy: Tensor) -> Backward:
    """S of the gradients that a layer returns, in float64."""
    if isinstance(layer, RULED):
        return magnitude.backward(layer, values, sx, sy, sdy)
    exact = differentiate(copy.deepcopy(layer).double(), [values.x], values.dy).named()
    found = list(_moved(layer, values.x, values.dy, sx, sdy))
    sizes = {name: _spread([(m[name] - t) / step for m, step in found], t) for name, t in exact.items()}
    grads = {name.removeprefix("grad "): size for name, size in sizes.items() if name.startswith("grad ")}
    return Backward(sizes["dx"], grads)


def kinked(layer: nn.Module, x: Tensor, y: Tensor, sx: Tensor, precision: torch.dtype) -> bool:
    """Whether the input is too near a kink of the layer to judge what comes out."""
    if isinstance(layer, RULED):
        return near_kink(layer, x, sx, torch.finfo(precision).eps)
    return measure(layer, [x], torch.ones_like(y), seed=0, precision=precision).kinked


def _moved(
    layer: nn.Module, x: Tensor, dy: Tensor, sx: Tensor, sdy: Tensor | None
) -> Iterator[tuple[dict[str, Tensor], float]]:
    """The layer's results on inputs off by shares of their S, every operation in it disturbed as well."""
    wide = copy.deepcopy(layer).double()
    step = STEPS[torch.float64][0]
    for draw in range(DRAWS):
        generator = torch.Generator().manual_seed(draw)

        def off(tensor: Tensor, size: Tensor, generator: torch.Generator = generator) -> Tensor:
            share = 2 * torch.rand(tensor.shape, generator=generator, dtype=torch.float64) - 1
            return tensor + step * share * size

        arriving = dy if sdy is None else off(dy, sdy)
        yield differentiate(wide, [off(x, sx)], arriving, Disturbed(step, draw)).named(), step


def _spread(moves: list[Tensor], like: Tensor) -> Tensor:
    """The largest move, for every entry: single draws say little about single entries."""
    largest = max((float(move.abs().max()) for move in moves if move.numel()), default=0.0)
    return torch.full_like(like, FACTOR * largest, dtype=torch.float64)
