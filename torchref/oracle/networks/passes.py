"""One forward and backward pass of the oracle through a chain, with any signal replaced by the candidate's own."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from torchref.oracle import magnitude
from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array
from torchref.oracle.networks import sizes as sizing


class Upstream(nn.Module):
    """J = Σ y·dy: the loss whose gradient is an upstream gradient that is given."""

    def forward(self, output: Tensor, dy: Tensor) -> Tensor:
        """Output and its gradient, of one shape -> a scalar."""
        return (output * dy).sum()


@magnitude.loss.register(Upstream)
def _(criterion: Upstream, output: Tensor, target: Tensor, s_output: Tensor) -> magnitude.LossMagnitude:  # noqa: ARG001
    return magnitude.LossMagnitude(((output.abs() + s_output) * target.abs()).sum(), target.abs())


class Signals(NamedTuple):
    """What the oracle computed.

    `tensors` by name in the order of computation: "output/<layer>", "output" (the last of them again), "loss",
    "doutput", and backward for each layer "dx/<layer>" and "grad/<layer>.<parameter>"; `magnitudes` has S of each.
    `seen` is what each layer, and "loss", was given; `kinks` names the layers near whose kink nothing can be judged.
    """

    tensors: dict[str, Tensor]
    magnitudes: dict[str, Tensor]
    seen: dict[str, magnitude.Values]
    kinks: tuple[str, ...]


def run(
    layers: Mapping[str, nn.Module],
    loss: nn.Module,
    x: Array,
    target: Array,
    replaced: Mapping[str, Any] | None = None,
) -> Signals:
    """Run the chain and its loss; what is `replaced`, by name and in the same shape, goes on as given there.

    Everything behind a replaced signal is what a right program would make of it: so what a candidate has wrong itself
    is told from what it inherited.
    """
    swaps = {} if replaced is None else {name: to_tensor(np.asarray(a, x.dtype)) for name, a in replaced.items()}
    tensors: dict[str, Tensor] = {}
    sizes: dict[str, Tensor] = {}
    signal, size = to_tensor(x), to_tensor(x).double().abs()
    calls = []
    kinks = []
    for name, layer in layers.items():
        given = signal.detach().requires_grad_()
        with torch.enable_grad():
            y = layer(given)
        if replaced is None and sizing.kinked(layer, given.detach().double(), y.detach().double(), size, given.dtype):
            kinks.append(name)
        calls.append((name, layer, given, y, size))
        size = sizing.forward(layer, given.detach().double(), y.detach().double(), size)
        tensors[f"output/{name}"], sizes[f"output/{name}"] = y.detach(), size
        signal, size = _swapped(swaps, f"output/{name}", y.detach(), size)
    tensors["output"], sizes["output"] = signal, size
    signal, size = _swapped(swaps, "output", signal, size)

    labels = to_tensor(target)
    output = signal.detach().requires_grad_()
    with torch.enable_grad():
        value = loss(output, labels)
    (dy,) = torch.autograd.grad(value, output)
    of_loss = magnitude.loss(loss, output.detach().double(), labels, size)
    tensors |= {"loss": value.detach(), "doutput": dy}
    sizes |= {"loss": of_loss.value, "doutput": of_loss.doutput}
    dy, s_dy = _swapped(swaps, "doutput", dy, of_loss.doutput)

    seen = {"loss": magnitude.Values(output.detach(), value.detach(), dy)}
    for name, layer, given, y, sx in reversed(calls):
        names = [parameter for parameter, _ in layer.named_parameters()]
        dx, *grads = torch.autograd.grad(y, [given, *(p for _, p in layer.named_parameters())], dy)
        seen[name] = magnitude.Values(given.detach(), y.detach(), dy)
        wide = magnitude.Values(given.detach().double(), y.detach().double(), dy.double())
        back = sizing.backward(layer, wide, sx, sizes[f"output/{name}"], s_dy)
        tensors[f"dx/{name}"], sizes[f"dx/{name}"] = dx, back.dx
        for parameter, grad in zip(names, grads, strict=True):
            tensors[f"grad/{name}.{parameter}"] = grad
            sizes[f"grad/{name}.{parameter}"] = back.grads[parameter]
        dy, s_dy = _swapped(swaps, f"dx/{name}", dx, back.dx)
    return Signals(tensors, sizes, seen, tuple(kinks))


def _swapped(swaps: Mapping[str, Tensor], name: str, tensor: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """The signal and its S; one that is replaced is exact."""
    if name not in swaps:
        return tensor, size
    return swaps[name], swaps[name].double().abs()
