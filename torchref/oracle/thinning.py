"""Networks with given units dropped: what makes a random layer an ordinary one, the same in both wings."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor, nn

from torchref.oracle.candidate import to_tensor
from torchref.oracle.comparison import Array
from torchref.regularization import Dropout

Masks: TypeAlias = Array | Mapping[str, Array]
"""The mask of a `Dropout`, or those of a network's by the layers' names, joined with a dot; True keeps a unit."""


class Thinned(nn.Module):
    """`Dropout` that drops the units of one mask: y = x · mask/(1 − p)."""

    mask: Tensor

    def __init__(self, dropout: Dropout, mask: Tensor) -> None:
        super().__init__()
        self.dropout = dropout
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, the mask's -> the same shape."""
        y: Tensor = self.dropout(x, self.mask)
        return y


def inner(masks: Mapping[str, Array], name: str) -> Masks | None:
    """The masks of one layer of a network: one, those of the layers within it, or None."""
    if name in masks:
        return masks[name]
    return {key.removeprefix(f"{name}."): mask for key, mask in masks.items() if key.startswith(f"{name}.")} or None


def thinned(reference: nn.Module, masks: Masks | None) -> nn.Module:
    """A `Dropout` with its mask, or a network of the same layers in which each `Dropout` has its own.

    The parameters are shared, and keep their names.
    """
    if masks is None:
        return reference
    if isinstance(reference, Dropout):
        assert isinstance(masks, np.ndarray)
        return Thinned(reference, to_tensor(masks))
    assert isinstance(masks, Mapping)
    twin = nn.Sequential()
    for name, layer in reference._modules.items():
        assert layer is not None
        twin.add_module(name, thinned(layer, inner(masks, name)))
    home = next((parameter.device for parameter in reference.parameters()), None)
    return twin.to(home)


class ThinnedCandidate:
    """A candidate whose every pass drops the same units; a batch of another size gets the opposite masks, repeated."""

    def __init__(self, candidate: Any, masks: Masks) -> None:
        self.candidate = candidate
        self.masks = masks

    @property
    def layers(self) -> dict[str, Any]:
        """The network's layers, those that drop units with their masks; a layer has no such attribute."""
        if not isinstance(self.masks, Mapping):
            raise AttributeError("layers")
        own = {name: inner(self.masks, name) for name in self.candidate.layers}
        return {
            name: layer if (masks := own[name]) is None else ThinnedCandidate(layer, masks)
            for name, layer in self.candidate.layers.items()
        }

    def forward(self, x: Any, /) -> tuple[Any, Any]:
        """The output and a cache."""
        result: tuple[Any, Any] = self.candidate.forward(x, self._resized(len(x)))
        return result

    def trace(self, x: Any, /) -> dict[str, Any]:
        """The output of every layer by name."""
        outputs: dict[str, Any] = self.candidate.trace(x, self._resized(len(x)))
        return outputs

    def backward(self, dy: Any, cache: Any, /) -> tuple[Any, dict[str, Any]]:
        """The input gradient, and the parameter gradients by name."""
        result: tuple[Any, dict[str, Any]] = self.candidate.backward(dy, cache)
        return result

    def parameters(self) -> dict[str, Any]:
        """The live parameter arrays by name."""
        parameters: dict[str, Any] = self.candidate.parameters()
        return parameters

    def _resized(self, samples: int) -> Masks:
        if isinstance(self.masks, Mapping):
            return {name: _rows(mask, samples) for name, mask in self.masks.items()}
        return _rows(self.masks, samples)


def _rows(mask: Array, samples: int) -> Array:
    # The opposite: a layer that keeps the mask of one pass for another is not to get away with it.
    return mask if samples == len(mask) else np.resize(~mask, (samples, *mask.shape[1:]))
