"""Mistakes in what joins layers: the error signal, its order, gradients' names, the activations in between."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import torchref
from torchref.oracle import criteria
from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array
from torchref.oracle.diagnosis.slopes import SLOPES, Slope
from torchref.oracle.networks.passes import run

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": torchref.ReLU,
    "tanh": torchref.Tanh,
    "LeCun's tanh": torchref.Tanh.lecun,
    "the logistic function": torchref.Logistic,
    "the hard limit": torchref.Threshold,
    "softmax": torchref.Softmax,
}
KINDS = (torchref.ReLU, torchref.Tanh, torchref.Logistic, torchref.Threshold, torchref.Identity, torchref.Softmax)


class Joined(NamedTuple):
    """One pass of a candidate, in its own layers' names.

    `arrived` and `dx` have the error signal at each layer's output and input, as seen; `order` the layers as their
    backward parts were called, of `layers` in forward order. `mine` has all tensors under the oracle's names, and
    `oracle` and `magnitudes` the oracle's; `chain`, `loss`, `x`, `target` are what they came from.
    """

    layers: tuple[str, ...]
    arrived: Mapping[str, Any]
    dx: Mapping[str, Any]
    order: tuple[str, ...]
    mine: Mapping[str, Any]
    oracle: Mapping[str, torch.Tensor]
    magnitudes: Mapping[str, torch.Tensor]
    chain: Mapping[str, nn.Module]
    loss: nn.Module
    x: Array
    target: Array


class Explained(NamedTuple):
    """A hypothesis that fits: its code, a sentence, and the layer it is about ("" for none)."""

    code: str
    hint: str
    layer: str = ""


def explain_backward(joined: Joined) -> Explained | None:
    """What is wrong with the way back through a network whose layers are right."""
    if len(joined.order) > 1 and joined.order == joined.layers[: len(joined.order)]:
        return Explained("chain:order", "the layers' backward parts are called in forward order")
    for before, after in zip(joined.layers, joined.layers[1:], strict=False):
        above, here = joined.arrived[after], joined.arrived[before]
        if np.array_equal(above, here) and not np.array_equal(here, joined.dx[after]):
            said = f"{before} is given the gradient at {after}'s output, not the dx that {after} returned"
            return Explained("chain:not-passed", said, before)
    return _names(joined) or _slopes(joined)


class Sloped(nn.Module):
    """An activation with another derivative: forward f, backward dy times what `slope` makes of x and y."""

    def __init__(self, layer: nn.Module, slope: Slope) -> None:
        super().__init__()
        self._layer = layer
        self._slope = slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape -> the same shape."""
        given = x.detach()
        y: torch.Tensor = self._layer(given)
        slope = np.asarray(self._slope(given.numpy(), y.numpy(), vars_of(self._layer)), y.numpy().dtype)
        return y + (x - given) * torch.from_numpy(slope)


def _slopes(joined: Joined) -> Explained | None:
    """Another derivative of an activation whose dx nobody sees: then all gradients are right."""
    grads = [n for n in joined.mine if n.startswith("grad/")]
    for name, layer in joined.chain.items():
        if not grads or f"dx/{name}" in joined.mine:
            continue
        for code, (says, slope) in SLOPES.get(type(layer), {}).items():
            chain = {**joined.chain, name: Sloped(layer, slope)}
            changed = _gradients(chain, joined)
            if all(criteria.network(n, joined.mine[n], changed[n], joined.magnitudes[n]).passed for n in grads):
                return Explained(code.split(" ")[0], f"on the way back through {name} {says}", name)
    return None


def _gradients(chain: Mapping[str, nn.Module], joined: Joined) -> dict[str, torch.Tensor]:
    """Of the loss, by the names of `Joined`."""
    named = {f"grad/{name}.{key}": p for name, layer in chain.items() for key, p in layer.named_parameters()}
    with torch.enable_grad():
        signal = to_tensor(joined.x)
        for layer in chain.values():
            signal = layer(signal)
        value = joined.loss(signal, to_tensor(joined.target))
    return dict(zip(named, torch.autograd.grad(value, list(named.values())), strict=True))


def _names(joined: Joined) -> Explained | None:
    """Gradients that are right, under each other's names."""
    grads = [n for n in joined.mine if n.startswith("grad/")]
    wrong = [n for n in grads if not _is(joined, joined.mine[n], n)]
    owners = {
        n: next((other for other in grads if other != n and _is(joined, joined.mine[n], other)), "") for n in wrong
    }
    if len(wrong) < 2 or not all(owners.values()):
        return None
    said = ", ".join(f"{n.removeprefix('grad/')} holds that of {owners[n].removeprefix('grad/')}" for n in wrong[:2])
    return Explained("chain:names", f"the gradients stand under each other's names: {said}")


def _is(joined: Joined, value: Any, name: str) -> bool:
    return criteria.network(name, value, joined.oracle[name], joined.magnitudes[name]).passed


def explain_forward(joined: Joined) -> list[Explained]:
    """Changes to torch's chain after which its output is the candidate's."""
    found = []
    for explained, layers in variants(joined.chain):
        try:
            changed = run(layers, joined.loss, joined.x, joined.target)
        except (RuntimeError, TypeError, ValueError):  # no chain any more
            continue
        verdict = criteria.network(
            "output", joined.mine["output"], changed.tensors["output"], changed.magnitudes["output"]
        )
        if verdict.passed:
            found.append(explained)
    return found


def variants(chain: Mapping[str, nn.Module]) -> Iterator[tuple[Explained, dict[str, nn.Module]]]:
    """The chain with one mistake in what stands between its layers, or without one bias."""
    for name, layer in chain.items():
        if isinstance(layer, KINDS):
            for explained, other in instead(name, layer):
                yield explained, {**chain, name: other}
        if getattr(layer, "bias", None) is not None:
            yield Explained("bias:missing", f"the bias of {name} is not added", name), {**chain, name: _unbiased(layer)}
    for called, make in ACTIVATIONS.items():
        said = f"there is {called} behind the last layer, where torch has none"
        yield Explained("activation:extra", said, list(chain)[-1]), {**chain, "extra": make()}


def instead(name: str, layer: nn.Module) -> Iterator[tuple[Explained, nn.Module]]:
    """Another activation in the place of one, or none."""
    if not isinstance(layer, torchref.Identity):
        yield Explained("activation:missing", f"there is no activation where torch has {name}", name), _nothing()
    for called, make in ACTIVATIONS.items():
        other = make()
        if repr(other) != repr(layer) or type(other) is not type(layer) or vars_of(other) != vars_of(layer):
            yield Explained("layer:other", f"{name} is {called}, torch's is {layer}", name), other


def vars_of(layer: nn.Module) -> dict[str, float]:
    """An activation's settings."""
    return {key: value for key, value in vars(layer).items() if isinstance(value, float)}


def _nothing() -> nn.Module:
    return torchref.Identity()


def _unbiased(layer: nn.Module) -> nn.Module:
    other = copy.deepcopy(layer)
    with torch.no_grad():
        other.bias.zero_()  # type: ignore[operator]
    return other


def explain_activation(name: str, layer: nn.Module, trials: list[tuple[Array, Any]]) -> Explained | None:
    """What stands in an activation's place, from (x, mine) of the layer alone."""
    for explained, other in instead(name, layer):
        with torch.no_grad():
            expected = [other(to_tensor(x)).numpy() for x, _ in trials]
        pairs = [(y, e) for (_, y), e in zip(trials, expected, strict=True)]
        if all(isinstance(y, np.ndarray) and y.shape == e.shape and np.allclose(y, e, 1e-5, 1e-6) for y, e in pairs):
            return explained
    return None
