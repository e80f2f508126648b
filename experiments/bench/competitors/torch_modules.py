"""The networks of the cells in plain `torch.nn`: as somebody who only wants speed would write them.

`torchref`'s layers check what they are given at every call, in Python; `scratch` replays its passes without checks. For
a fair race torch runs without them too. The parameters have the same names, and `agreement` sees that the networks
compute the same.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.bench import networks
from experiments.bench.cells import Cell
from torchref.models import s2_c3_table


class LecunTanh(nn.Module):
    """1.7159·tanh(2x/3)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        return 1.7159 * torch.tanh(2 / 3 * x)


class Canvas(nn.Module):
    """28×28 images in the middle of 32×32, the border −0.1."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 28, 28) -> (N, 1, 32, 32)."""
        return F.pad(x, (2, 2, 2, 2), value=-0.1)


class TableConv2d(nn.Conv2d):
    """A convolution whose weight is multiplied by a table of connections."""

    mask: Tensor

    def __init__(self, table: Tensor, kernel_size: int, dtype: torch.dtype) -> None:
        super().__init__(table.shape[1], table.shape[0], kernel_size, dtype=dtype)
        self.register_buffer("mask", table[:, :, None, None].to(dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, H′, W′)."""
        return F.conv2d(x, self.weight * self.mask, self.bias)


class Subsample(nn.Module):
    """The sum over 2×2 pixels, times a coefficient, plus a bias, for each map."""

    def __init__(self, channels: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), 0.25, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(channels, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H/2, W/2)."""
        sums = F.avg_pool2d(x, 2, divisor_override=1)
        return sums * self.weight[:, None, None] + self.bias[:, None, None]


def torch_network(cell: Cell) -> nn.Sequential:
    """Build a cell's network with the initial weights that every competitor starts from."""
    dtype = getattr(torch, cell.dtype)
    build = {"mlp": _perceptron, "lenet5": _lenet5, "conv": _convolutional}[cell.model]
    net = nn.Sequential(OrderedDict(build(cell, dtype)))
    net.load_state_dict({name: torch.from_numpy(value) for name, value in networks.initial_state(cell).items()})
    return net


def _perceptron(cell: Cell, dtype: torch.dtype) -> dict[str, nn.Module]:
    first, second = networks.hidden_sizes(cell)
    return {
        "fc1": nn.Linear(cell.image**2, first, dtype=dtype),
        "f1": nn.Tanh(),
        "fc2": nn.Linear(first, second, dtype=dtype),
        "f2": nn.Tanh(),
        "fc3": nn.Linear(second, networks.CLASSES, dtype=dtype),
    }


def _lenet5(_: Cell, dtype: torch.dtype) -> dict[str, nn.Module]:
    return {
        "canvas": Canvas(),
        "c1": nn.Conv2d(1, 6, 5, dtype=dtype),
        "c1_f": LecunTanh(),
        "s2": Subsample(6, dtype),
        "s2_f": LecunTanh(),
        "c3": TableConv2d(s2_c3_table(), 5, dtype),
        "c3_f": LecunTanh(),
        "s4": Subsample(16, dtype),
        "s4_f": LecunTanh(),
        "c5": nn.Conv2d(16, 120, 5, dtype=dtype),
        "c5_f": LecunTanh(),
        "flatten": nn.Flatten(),
        "f6": nn.Linear(120, 84, dtype=dtype),
        "f6_f": LecunTanh(),
        "output": nn.Linear(84, networks.CLASSES, dtype=dtype),
    }


def _convolutional(cell: Cell, dtype: torch.dtype) -> dict[str, nn.Module]:
    first, second = round(6 * cell.width), round(16 * cell.width)
    side = (cell.image // 2 - 4) // 2
    return {
        "c1": nn.Conv2d(1, first, 5, padding=2, dtype=dtype),
        "c1_f": LecunTanh(),
        "s2": Subsample(first, dtype),
        "s2_f": LecunTanh(),
        "c3": nn.Conv2d(first, second, 5, dtype=dtype),
        "c3_f": LecunTanh(),
        "s4": Subsample(second, dtype),
        "s4_f": LecunTanh(),
        "flatten": nn.Flatten(),
        "output": nn.Linear(second * side**2, networks.CLASSES, dtype=dtype),
    }
